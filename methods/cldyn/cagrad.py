"""One direction from the gradients of several tasks.

CAGrad (Liu, Liu, Jin, Stone and Liu, "Conflict-Averse Gradient Descent for Multi-task Learning", NeurIPS 2021) asks for
the direction d that improves the worst task most, within a ball around the mean gradient g0:

    max_d min_i <g_i, d>   subject to  |d - g0| <= c |g0|

and solves its dual (their eq. 4): minimise <g_w, g0> + c |g0| |g_w| over weights w on the simplex, g_w = sum w_i g_i;
then d = g0 + c |g0| g_w / |g_w|. The code released with CLDyN minimises something else; see :func:`released_weights`.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

MOST = 8  # tasks; every subset of them is looked at
RIDGE = 1e-12  # relative to the mean squared norm, so that equal gradients have a solution


def objective(gram: np.ndarray, weights: np.ndarray, c: float) -> float:
    """The dual's value: ``<g_w, g0> + c |g0| |g_w|`` from the Gram matrix of the gradients."""
    mean = gram.mean(1)
    return float(weights @ mean + c * np.sqrt(max(gram.mean(), 0) * max(weights @ gram @ weights, 0)))


def cagrad_weights(gram: np.ndarray, c: float = 0.5) -> np.ndarray:
    """The weights w that solve CAGrad's dual.

    On each face of the simplex the stationary point has a closed form; the dual is convex, so the best one that lies in
    its face is the solution. With r = c |g0| and b_i = <g_i, g0>, A the Gram matrix of the face: A w = t (m 1 - b),
    where m is the larger root of m^2 1'A^-1 1 - 2 m 1'A^-1 b + b'A^-1 b = r^2 and t makes the weights sum to 1.

    Args:
        gram: ``[K,K]``, scalar products of the tasks' gradients, K at most 8.
        c: size of the ball, in [0,1).

    Returns:
        ``[K]``, not negative, sum 1.
    """
    count = len(gram)
    if not 1 <= count <= MOST:
        raise ValueError(f"{count} tasks; 1 to {MOST} can be combined")
    gram = np.asarray(gram, np.float64)
    size = np.trace(gram) / count
    if not size > 0:
        return np.full(count, 1 / count)
    gram = gram / size
    mean, radius = gram.mean(1), c * np.sqrt(max(gram.mean(), 0))
    candidates = list(np.eye(count))
    for number in range(2, count + 1):
        for face in map(list, combinations(range(count), number)):
            part = _stationary(gram[np.ix_(face, face)] + RIDGE * np.eye(number), mean[face], radius)
            if part is not None:
                whole = np.zeros(count)
                whole[face] = part
                candidates.append(whole)
    return min(candidates, key=lambda w: objective(gram, w, c))


def _stationary(gram: np.ndarray, mean: np.ndarray, radius: float) -> np.ndarray | None:
    """The face's stationary point, or None where it lies outside."""
    ones = np.ones(len(gram))
    try:
        inverse_one, inverse_mean = np.linalg.solve(gram, np.stack((ones, mean), 1)).T
    except np.linalg.LinAlgError:
        return None
    p, q, r = ones @ inverse_one, ones @ inverse_mean, mean @ inverse_mean
    inside = q * q - p * (r - radius**2)
    if inside <= 0 or p <= 0:
        return None
    weights = ((q + np.sqrt(inside)) / p * inverse_one - inverse_mean) / np.sqrt(inside)
    if not np.isfinite(weights).all() or weights.min() < 0:
        return None
    result: np.ndarray = weights / weights.sum()
    return result


def cagrad(gram: np.ndarray, c: float = 0.5) -> np.ndarray:
    """What each task's gradient counts in CAGrad's direction: ``d = sum_i x_i g_i``.

    Args:
        gram: ``[K,K]``, scalar products of the tasks' gradients.
        c: size of the ball around the mean gradient; 0 gives the mean.

    Returns:
        ``[K]``: ``1/K + c |g0| / |g_w| w``. Where g_w vanishes the mean is left as it is.
    """
    gram = np.asarray(gram, np.float64)
    weights = cagrad_weights(gram, c)
    length = np.sqrt(max(weights @ gram @ weights, 0))
    radius = c * np.sqrt(max(gram.mean(), 0))
    shares = np.full(len(gram), 1 / len(gram))
    return shares + radius / length * weights if length > 1e-9 * np.sqrt(np.trace(gram) + 1e-300) else shares


def released_weights(gram: np.ndarray, c: float = 0.5, steps: int = 250, lr: float = 0.1) -> np.ndarray:
    """The solver in the code released with CLDyN: projected descent on ``w'(A + eps)w - 2 c <rowmin(A), w>``.

    Its row minimum stands where CAGrad has the product with the mean gradient, and its step does not depend on the
    gradients' size: with large gradients it ends in a corner, that is, on a single task.

    Args:
        gram: ``[K,K]``, scalar products of the tasks' gradients.
        c: factor of the linear term.
        steps: of descent, from equal weights.
        lr: of a step.

    Returns:
        ``[K]``, not negative, sum 1; the direction is the sum of the gradients with these weights.
    """
    gram = np.asarray(gram, np.float64)
    quadratic, linear = 2 * (gram + 1e-8 * np.eye(len(gram))), -2 * c * gram.min(1)
    weights = np.full(len(gram), 1 / len(gram))
    for _ in range(steps):
        weights = project(weights - lr * (quadratic @ weights + linear))
    return weights


def project(point: np.ndarray) -> np.ndarray:
    """The nearest point of the simplex (Duchi et al. 2008)."""
    ordered = np.sort(point)[::-1]
    excess = (ordered.cumsum() - 1) / np.arange(1, len(point) + 1)
    nearest: np.ndarray = np.maximum(point - excess[np.flatnonzero(ordered > excess)[-1]], 0)
    return nearest
