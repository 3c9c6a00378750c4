"""One engine for task networks and fusion methods.

    settings.py     a recipe's settings: a flat typed record, its presets, key=value options
    request.py      what is to be trained; run.py does it and writes the weights, which trained.py finds again
    sweep.py        several runs of one recipe: combinations of settings, seeds
    ranges.py       types of settings that say which numbers make sense
    options.py      how a run is done, which no weight depends on
    recipe.py       what a recipe supplies: objects, data order, one step
    order.py        data order and randomness as functions of (seed, epoch, index)
    data.py         a dataset's split as augmented batches
    precision.py    mixed precision and the ordinary optimiser update
    distributed.py  several processes: shares of a batch, means that can be differentiated twice
    functional.py   the meta step: an inner update that keeps its graph
    checkpoint.py   everything a run needs to go on, in one file
    generators.py   the global random number generators
    gpu_use.py      how busy a graphics card is, and its memory
    logs.py         loss log, times, TensorBoard, pictures, progress
    loop.py         train(): the loop itself

Nothing is imported here, so that the command line may look at settings without torch.
"""
