"""What the cards of the four kinds say, as typed records; a card file is checked against them when it is read.

The names are the keys of the TOML files. What a key means stands here and nowhere else. One file: the reference of all
keys, of all kinds.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from fusionbench.errors import did_you_mean
from fusionbench.naming import matches

Kind = Literal["method", "metric", "dataset", "task"]
Label = Literal["mask", "boxes", "saliency"]
Family = Literal["", "classical", "autoencoder", "cnn", "gan", "transformer", "unfolding", "lookup table"]
Value = bool | int | float | str  # of an option
SOURCES = ("infrared", "visible")
COLOURS = {
    "grey": "BT.601 luma of the saved picture against luma of the visible image",
    "per-channel": "each RGB channel against infrared and that channel of visible, averaged",
    "joined": "the three RGB channels side by side as one picture, infrared three times",
}


def colour_rule(name: str) -> str:
    """The name of a colour rule; older files write ``gray``.

    Raises:
        ValueError: there is no such rule.
    """
    found = matches(name, COLOURS, {"grey": ("gray",)})
    if len(found) != 1:
        raise ValueError(f"{name!r} is no colour rule; {did_you_mean(name, COLOURS)}")
    return found[0]


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of all records: unknown keys and values of another type are refused."""


class Option(Record, frozen=True, kw_only=True):
    """One option of a plugin.

    Attributes:
        default: its type is the option's.
        help: a line.
        plugin: the kind of plugin that a value names, whose code then counts in the entry's key; "" for none.
    """

    default: Value
    help: str
    plugin: Kind | Literal[""] = ""


class Training(Record, frozen=True, kw_only=True):
    """One recipe of a method, or of all networks of a task.

    Attributes:
        recipe: ``module:Class``, the module relative to the plugin's package.
        datasets: names for which there are recipes.
        stage: name of the stage where training has several, else "".
        together: whether several datasets are trained on in one run.
        after: the stage whose weights this one begins with, "" for none.
        weights: settings that name a run whose weights are needed, each with a stage of this method, or with the
            setting that names the task's network of that run.
    """

    recipe: str
    datasets: tuple[str, ...]
    stage: str = ""
    together: bool = False
    after: str = ""
    weights: dict[str, str] = {}


class LearntFrom(Record, frozen=True, kw_only=True):
    """On a dataset's card: what is trained on it besides the recipes that name it.

    Attributes:
        recipe: a method, a task, or a network of a task.
        like: the dataset whose settings are begun with; "" for those that are no dataset's own.
        settings: changes to them, as ``--cfg-options`` makes them.
    """

    recipe: str
    like: str = ""
    settings: dict[str, Value | tuple[Value, ...]] = {}


class Facts(Record, frozen=True, kw_only=True):
    """What every card says.

    Attributes:
        kind: which of the four.
        name: what users type.
        title: as printed in tables.
        summary: one line.
        object: the class or function in the module beside the card.
        version: changed when numbers may change.
        module: of a card in a file, the module's name where it is not the file's.
        options: by name.
        extra: the extra of the distribution that the plugin needs, or "".
        differs: where it differs from the publication, in sentences.
        ours: what is our own where the publication leaves it open, a line each.
    """

    kind: Kind
    name: str
    title: str
    summary: str
    object: str
    version: str
    module: str = ""
    paper: str = ""
    venue: str = ""
    year: int | None = None
    urls: tuple[str, ...] = ()
    licence: str = ""
    options: dict[str, Option] = {}
    extra: str = ""
    differs: str = ""
    ours: tuple[str, ...] = ()


class OutputFacts(Record, frozen=True, kw_only=True):
    """The released output rule of a method, see :class:`fusionbench.pixels.output_rule.OutputRule`."""

    stretch: Literal["none", "luma", "rgb", "luma+rgb"] = "none"
    quantise: Literal["round", "truncate"] = "round"
    chroma: Literal["none", "opencv", "seafusion", "jpeg", "opencv8"] = "opencv"


class PartFacts(Record, frozen=True, kw_only=True):
    """One file of a checkpoint that its authors released in several: its name and SHA-256."""

    file: str
    sha256: str


class ParityFacts(Record, frozen=True, kw_only=True):
    """What a method's output was compared with, and how close it came.

    Attributes:
        file: of reference arrays: what the authors' released code gave, in the reference material or in the checkout.
        weights: name of the checkpoint it ran with; ``generated``: by the rule in docs/methods-parity.md; ``in file``:
            they lie beside the arrays.
        options: of the method, for this comparison.
        same: names of generated tensors, or their beginnings, that are one with an earlier tensor.
        state: of weights in the file: how the arrays' names begin, and how the checkpoint's do.
        inputs: arrays that the network takes, in its order; ``NAME:I`` is channel I alone, ``NAME/255`` that in 0..1.
        part: the attribute of the method that holds the network.
        call: what of the network is called; where it gives a dict, ``output`` without ``out_`` is the name in it.
        output: array that the network gives.
        picture: array of the picture that the authors' program saves of the arrays ``crop_ir_u8``, ``crop_vi_rgb_u8``.
        grey: whether that picture is of grey sources.
        max_abs: largest difference of the network's output.
        equal: share of the picture's values that are equal; none differs by more than a level.
    """

    file: str
    output: str
    inputs: tuple[str, ...]
    max_abs: float
    part: str = "network"
    call: str = "forward"
    weights: str = "generated"
    options: dict[str, Value] = {}
    same: dict[str, str] = {}
    state: dict[str, str] = {}
    picture: str = ""
    grey: bool = False
    equal: float = 0.0


class AgreementFacts(Record, frozen=True, kw_only=True):
    """How near a method's pictures come to those that somebody published of the same pairs.

    ``benchmarks/agreement.py`` measures it.

    Attributes:
        source: whose pictures.
        folder: where they lie below the reference material, one picture per pair.
        dataset: of the pairs.
        pairs: how many.
        colour: ``grey`` (luma of both) or ``per-channel`` (each channel of the visible image fused by itself).
        difference: mean absolute difference in levels 0..255, averaged over the pairs.
        correlation: coefficient of correlation, averaged over the pairs.
        worst: the smallest correlation of a pair.
        note: what is known about the rest, or "".
    """

    source: str
    folder: str
    dataset: str
    pairs: int
    difference: float
    correlation: float
    worst: float
    colour: Literal["grey", "per-channel"] = "grey"
    note: str = ""


class WeightFacts(Record, frozen=True, kw_only=True):
    """A checkpoint that a card lists.

    Attributes:
        name: short name used in entry ids.
        sha256: of the file; of one in several parts, of their hashes in order, a line each.
        trained_on: what it was trained on.
        file: the file as its authors released it.
        url: where to get it.
        packaged: the file beside the card, for weights that come with the plugin.
        parts: its files, in the order of the method's ``files``.
        options: those it was trained for or is released to run with, in the place of the defaults.
        aside: why ``eval --all`` leaves its rows out, or "": it has them. They run when named.
    """

    name: str
    sha256: str
    trained_on: str
    file: str = ""
    url: str = ""
    packaged: str = ""
    parts: tuple[PartFacts, ...] = ()
    options: dict[str, Value] = {}
    aside: str = ""


class MethodFacts(Facts, frozen=True, kw_only=True):
    """The card of a method.

    Attributes:
        output: the released output rule; None stands for the default one.
        weights: checkpoints that the card knows.
        requires_weights: whether it runs only with a checkpoint.
        files: what each file of a checkpoint holds, where its authors release it in several.
        several_rows: whether one checkpoint makes several rows, see ``Method.rows``.
        parameters: their number.
        views: a view's name and the maps it shows, see ``Method.views``.
        role: ``source`` for a source image itself: shown in every table, ranked in none.
        precomputed: whether it reads pictures that another program made.
        label_option: the option whose value names the entry.
        path_options: options that say where files of this machine lie, the folder first; in no id or provenance.
        family: what kind of method it is, by which ``list`` groups.
        bibtex: the entry to cite.
        parity: what its output was compared with.
        agreement: published pictures that its own were compared with.
        slow: whether a picture takes seconds on a processor.
        memory: bytes a pixel that a picture needs on a processor at most, see ``benchmarks/memory.py``; 0: not known.
        unverified: what its output could not be compared with, or "": such a row is not ranked.
        training: its recipes.
    """

    training: tuple[Training, ...] = ()
    output: OutputFacts | None = None
    weights: tuple[WeightFacts, ...] = ()
    requires_weights: bool = False
    files: tuple[str, ...] = ()
    several_rows: bool = False
    parameters: int | None = None
    views: dict[str, tuple[str, ...]] = {}
    role: Literal["", "source"] = ""
    precomputed: bool = False
    label_option: str = ""
    path_options: tuple[str, ...] = ()
    family: Family = ""
    bibtex: str = ""
    parity: tuple[ParityFacts, ...] = ()
    agreement: tuple[AgreementFacts, ...] = ()
    slow: bool = False
    memory: int = 0
    unverified: str = ""

    def __post_init__(self) -> None:
        for weights in self.weights:
            for name, value in weights.options.items():
                if name not in self.options:
                    raise ValueError(f"weights {weights.name} set {name!r}, which is no option")
                if type(value) is not type(self.options[name].default):
                    raise ValueError(f"weights {weights.name} set {name} to another type than its default's")


class Oracle(Record, frozen=True, kw_only=True):
    """Whose value a variant reproduces, and how closely.

    Attributes:
        file: which reference sheet holds the value.
        metric: its name there.
        implementation: of whom; "" for a published sheet.
        rtol: relative tolerance.
        atol: absolute tolerance.
        joined: whether the channels stand side by side as one image there.
    """

    file: str
    metric: str
    implementation: str = ""
    rtol: float = 0.0
    atol: float = 0.0
    joined: bool = False


class Variant(Record, frozen=True, kw_only=True):
    """One variant of a metric.

    Attributes:
        options: keyword arguments of the function.
        formula: what is computed.
        used_by: programs whose numbers it is.
        note: a remark.
        input: what the levels are brought to first.
        range: where it differs from the metric's, as do the next three.
        digits: decimals in tables.
        min_size: smallest side of an image in pixels.
        undefined: why a value can be missing.
        oracles: what it is tested against.
    """

    options: dict[str, Value] = {}
    formula: str = ""
    used_by: tuple[str, ...] = ()
    note: str = ""
    input: str = "grey levels 0..255"
    range: tuple[float, float] | None = None
    digits: int | None = None
    min_size: int | None = None
    undefined: str | None = None
    oracles: tuple[Oracle, ...] = ()


class Fault(Record, frozen=True, kw_only=True):
    """A fault of another program: where it shows in the reference values, and against which variant."""

    implementation: str
    what: str
    file: str = "values"
    metric: str = ""
    against: str = ""


class MetricFacts(Facts, frozen=True, kw_only=True):
    """The card of a metric.

    Attributes:
        direction: whether a larger (``up``) or a smaller value is better.
        range: of all values.
        default: the variant that is meant where none is named.
        variants: by name.
        digits: decimals in tables.
        min_size: smallest side of an image in pixels; with a smaller one there is no value.
        undefined: why a value can be missing or infinite, in one clause.
        profiles: a profile's name and the variant or variants it uses.
        faults: of other programs.
    """

    direction: Literal["up", "down"]
    range: tuple[float, float]
    default: str
    variants: dict[str, Variant]
    digits: int = 4
    min_size: int = 1
    undefined: str = "the definition gives no value there"
    profiles: dict[str, str | tuple[str, ...]] = {}
    faults: tuple[Fault, ...] = ()

    def range_of(self, variant: str) -> tuple[float, float]:
        """The range of a variant."""
        return self.variants[variant].range or self.range

    def digits_of(self, variant: str) -> int:
        """Decimals of a variant in tables."""
        own = self.variants[variant].digits
        return self.digits if own is None else own

    def min_size_of(self, variant: str) -> int:
        """Smallest side of an image on which a variant has a value."""
        return self.variants[variant].min_size or self.min_size

    def undefined_of(self, variant: str) -> str:
        """Why a value of a variant can be missing or infinite."""
        return self.variants[variant].undefined or self.undefined


class SplitFacts(Record, frozen=True, kw_only=True):
    """A split that a card declares.

    Attributes:
        name: what users type.
        folder: the split folder its files lie in, where it is not called as the split.
        file: its list, below ``splits`` beside the card.
        count: how many pairs it should have.
        content_sha256: over all its pairs.
        source: who says so.
    """

    name: str
    folder: str = ""
    file: str = ""
    count: int | None = None
    content_sha256: str = ""
    source: str = ""


class ClassFacts(Record, frozen=True, kw_only=True):
    """Class names by id: of masks (with the colour of each), and of boxes (with other spellings of a name)."""

    segmentation: tuple[str, ...] = ()
    palette: tuple[tuple[int, int, int], ...] = ()
    boxes: tuple[str, ...] = ()
    box_aliases: dict[str, str] = {}


class TaskSplits(Record, frozen=True, kw_only=True):
    """The splits that a task is trained and tested on, where they are not the usual ones."""

    train: str = ""
    test: str = ""


class ProtocolFacts(Record, frozen=True, kw_only=True):
    """A protocol of a dataset, see :class:`fusionbench.evaluation.protocol.Protocol`."""

    version: int
    split: str
    colour: str
    output: str
    profile: str
    metrics: tuple[str, ...]

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "colour", colour_rule(self.colour))


class DownloadFacts(Record, frozen=True, kw_only=True):
    """A plain address of an archive, with its hash where it has a stable one."""

    url: str
    sha256: str | None = None
    size: int | None = None


class SceneFacts(Record, frozen=True, kw_only=True):
    """How generated scenes are written in a layout: the generator's preset, and its classes to the layout's."""

    preset: str
    masks: dict[str, str] = {}
    boxes: dict[str, str] = {}
    saliency: bool = False


class DatasetFacts(Facts, frozen=True, kw_only=True):
    """The card of a dataset.

    Attributes:
        folders: names of its own folder under a data root, the official one first.
        layout: role (ir, vis, mask, boxes, saliency) to a folder template or several, the official one first.
        sources: what the two images of a pair are called, ``ir`` first.
        split_folders: a split's folder and the names it goes by, the official one first.
        splits: declared ones.
        skip: stems that are no samples.
        box_format: of annotation files.
        ignore_index: mask id that is not scored.
        classes: names by id.
        tasks: label to the splits of its task.
        conditions: last letter of an id to ``day`` or ``night``.
        protocols: by name; the first is the default.
        get: how to get it, as text.
        tree: the folders to build, as text.
        download: where a plain address exists.
        scenes: how generated scenes are written in this layout.
        generic: whether any folder will do, named by the user.
        training: what is trained on it besides the recipes that name it.
        ir_range: levels of infrared with more than 8 bits that become 0 and 255.
        rgbt4: whether colour and thermal are the four channels of one file.
        expected: what is no oddity here, such as ``ir-colour``, see :data:`fusionbench.data.looks.ODDITIES`.
    """

    training: tuple[LearntFrom, ...] = ()
    layout: dict[str, str | tuple[str, ...]]
    sources: tuple[str, str] = SOURCES
    protocols: dict[str, ProtocolFacts] = {}
    folders: tuple[str, ...] = ()
    split_folders: dict[str, str | tuple[str, ...]] = {}
    splits: tuple[SplitFacts, ...] = ()
    skip: tuple[str, ...] = ()
    box_format: Literal["yolo", "voc"] = "yolo"
    ignore_index: int | None = None
    classes: ClassFacts = ClassFacts()
    tasks: dict[str, TaskSplits] = {}
    conditions: dict[str, str] = {}
    get: str = ""
    tree: str = ""
    download: DownloadFacts | None = None
    scenes: SceneFacts | None = None
    generic: bool = False
    ir_range: tuple[float, float] | None = None
    rgbt4: bool = False
    expected: tuple[Literal["swapped", "ir-colour", "same"], ...] = ()

    def __post_init__(self) -> None:
        if self.ir_range is not None and not self.ir_range[0] < self.ir_range[1]:
            raise ValueError("ir_range is two numbers, the smaller one first")


class NetworkWeightFacts(WeightFacts, frozen=True, kw_only=True):
    """A checkpoint of a task's network that others released: which network's, and what of any."""

    network: str


class TaskFacts(Facts, frozen=True, kw_only=True):
    """The card of a downstream task.

    Attributes:
        networks: that go by name, the default one first.
        needs: the label it is scored against.
        columns: (score, title) of what stands in tables; the first chooses and ranks.
        lower: those of the columns where a smaller score is better.
        training: recipes of its networks.
        weights: checkpoints of its networks that can be had.
    """

    training: tuple[Training, ...] = ()
    networks: tuple[str, ...]
    needs: Label
    columns: tuple[tuple[str, str], ...]
    lower: tuple[str, ...] = ()
    weights: tuple[NetworkWeightFacts, ...] = ()

    def __post_init__(self) -> None:
        if unknown := set(self.lower) - {score for score, _ in self.columns}:
            raise ValueError(f"lower names {sorted(unknown)[0]!r}, which is none of the columns")
        if odd := {w.network for w in self.weights} - set(self.networks):
            raise ValueError(f"weights of {sorted(odd)[0]!r}, which is none of the networks")


class ProfileFacts(Record, frozen=True, kw_only=True):
    """One metric profile of a ``profiles.toml``: an evaluator whose tables are in print."""

    title: str = ""
    colour: str = "grey"
    source: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "colour", colour_rule(self.colour))


FACTS: dict[str, type[Facts]] = {
    "method": MethodFacts,
    "metric": MetricFacts,
    "dataset": DatasetFacts,
    "task": TaskFacts,
}
