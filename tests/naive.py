"""Every loss once more, as loops over Python floats: what the tests compare to.

Each takes the student's and the teacher's logits, shape (N, C), the labels, shape
(N,), and the loss's own arguments, and gives one float64 value per sample.
"""

import math

import torch


def mean(values):
    return math.fsum(values) / len(values)


def softmax(row, tau=1.0):
    top = max(row)
    exps = [math.exp((z - top) / tau) for z in row]
    return [e / math.fsum(exps) for e in exps]


def kl(p_T, p_S):
    return math.fsum(t * math.log(t / s) for s, t in zip(p_S, p_T) if t > 0)


def columns(rows):
    return [list(column) for column in zip(*rows)]


def per_sample(values):
    return torch.tensor(values, dtype=torch.float64)


def perception(logits, eps=1e-5):
    out = []
    for column in columns(logits.tolist()):
        centre = mean(column)
        var = mean([(z - centre) ** 2 for z in column])
        out.append([(z - centre) / math.sqrt(var + eps) for z in column])
    return per_sample(columns(out))


def standardize(logits, eps=1e-7):
    out = []
    for row in logits.tolist():
        centre = mean(row)
        var = math.fsum((z - centre) ** 2 for z in row) / (len(row) - 1)
        out.append([(z - centre) / (math.sqrt(var) + eps) for z in row])
    return per_sample(out)


def kd(logits_S, logits_T, gt_labels=None, tau=4.0):
    rows = zip(logits_S.tolist(), logits_T.tolist())
    return per_sample([tau**2 * kl(softmax(t, tau), softmax(s, tau)) for s, t in rows])


def luminet(logits_S, logits_T, gt_labels=None, tau=1.0, eps=1e-5):
    preds = perception(logits_S, eps), perception(logits_T, eps)
    return kd(*preds, tau=tau) / tau**2


def logit_standardization(logits_S, logits_T, gt_labels=None, tau=2.0, eps=1e-7):
    return kd(standardize(logits_S, eps), standardize(logits_T, eps), tau=tau)


def dkd(logits_S, logits_T, gt_labels, tau=4.0, alpha=1.0, beta=8.0):
    values = []
    for s, t, label in zip(logits_S.tolist(), logits_T.tolist(), gt_labels.tolist()):
        binary_S, binary_T = (
            [p[label], math.fsum(p[:label] + p[label + 1 :])]
            for p in (softmax(s, tau), softmax(t, tau))
        )
        others_S, others_T = (softmax(z[:label] + z[label + 1 :], tau) for z in (s, t))
        value = alpha * kl(binary_T, binary_S) + beta * kl(others_T, others_S)
        values.append(tau**2 * value)
    return per_sample(values)


def pearson(a, b, eps):
    a, b = [x - mean(a) for x in a], [x - mean(b) for x in b]
    norm_a, norm_b = (math.sqrt(math.fsum(x * x for x in v)) for v in (a, b))
    return math.fsum(x * y for x, y in zip(a, b)) / (norm_a * norm_b + eps)


def dist(
    logits_S,
    logits_T,
    gt_labels=None,
    tau=1.0,
    inter_loss_weight=1.0,
    intra_loss_weight=1.0,
    eps=1e-8,
):
    probs_S = [softmax(row, tau) for row in logits_S.tolist()]
    probs_T = [softmax(row, tau) for row in logits_T.tolist()]
    inter = [1 - pearson(s, t, eps) for s, t in zip(probs_S, probs_T)]
    intra = mean(
        [1 - pearson(s, t, eps) for s, t in zip(columns(probs_S), columns(probs_T))]
    )
    return per_sample(
        [tau**2 * (inter_loss_weight * i + intra_loss_weight * intra) for i in inter]
    )


def gram_distances(rows_S, rows_T):
    """Row sums of the squared difference of two Gram matrices."""

    def dot(a, b):
        return math.fsum(x * y for x, y in zip(a, b))

    size = range(len(rows_S))
    return [
        math.fsum(
            (dot(rows_T[i], rows_T[k]) - dot(rows_S[i], rows_S[k])) ** 2 for k in size
        )
        for i in size
    ]


def multi_level(
    logits_S,
    logits_T,
    gt_labels=None,
    taus=(2.0, 3.0, 4.0, 5.0, 6.0),
    instance_weight=1.0,
    batch_weight=1.0,
    class_weight=1.0,
):
    total = torch.zeros(len(logits_S), dtype=torch.float64)
    for tau in taus:
        probs_S = [softmax(row, tau) for row in logits_S.tolist()]
        probs_T = [softmax(row, tau) for row in logits_T.tolist()]
        total += instance_weight * kd(logits_S, logits_T, tau=tau)
        total += batch_weight * per_sample(gram_distances(probs_S, probs_T))
        total += class_weight * mean(gram_distances(columns(probs_S), columns(probs_T)))
    return total


def published_multi_level(plain, strong):
    """The loss of the authors' code but for the cross-entropy, one number.

    Args:
        plain (tuple): Logits (N, C) of student and teacher of the plain views.
        strong (tuple): The same of the strong ones.
    """

    def at_most_median(values):  # how many of them, which is what the masks say
        middle = torch.tensor(values, dtype=torch.float64).quantile(0.5).item()
        return mean([value <= middle for value in values])

    def relations(rows):
        return [mean(gram_distances(*rows)), mean(gram_distances(*map(columns, rows)))]

    probs_T = [softmax(row) for row in plain[1].tolist()]
    mask = at_most_median([max(row) for row in probs_T])
    class_mask = at_most_median([math.fsum(column) for column in columns(probs_T)])
    total = 0.0
    for tau in (2.0, 3.0, 4.0, 5.0, 6.0):
        rows = [[softmax(row, tau) for row in logits.tolist()] for logits in plain]
        of_batch, of_classes = relations(rows)
        total += mask * kd(*plain, tau=tau).mean().item()
        total += mask * of_batch + class_mask * of_classes
        again = plain if tau in (2.0, 6.0) else strong
        total += kd(*again, tau=tau).mean().item()
    return 0.9 * total


def box(deltas_S, deltas_T, gt_labels=None):
    return per_sample(
        [
            sum(abs(s - t) for s, t in zip(*rows))
            for rows in zip(deltas_S.tolist(), deltas_T.tolist())
        ]
    )


def gradient(loss, logits_S, *args, step=1e-5, **kwargs):
    """Central differences of the sum of a loss's values, shape (N, C)."""
    grad = torch.zeros_like(logits_S)
    for index in range(logits_S.numel()):
        ends = []
        for sign in (1, -1):
            moved = logits_S.clone()
            moved.view(-1)[index] += sign * step
            ends.append(loss(moved, *args, **kwargs).sum())
        grad.view(-1)[index] = (ends[0] - ends[1]) / (2 * step)
    return grad
