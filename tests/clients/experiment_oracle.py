"""Compares results of `pointsman experiment result` with those of gbstats, the statistics of GrowthBook, on random sums."""

import json
import math
import random
import subprocess
import sys

from gbstats.frequentist.tests import (
    FrequentistConfig,
    SequentialConfig,
    SequentialTwoSidedTTest,
    TwoSidedTTest,
)
from gbstats.models.statistics import (
    ProportionStatistic,
    RatioStatistic,
    RegressionAdjustedStatistic,
    SampleMeanStatistic,
    compute_theta,
)

# Half-widths and probabilities agree to this part; the p of gbstats is 1 - cdf, which has no more digits than this.
NEAR = 1e-7


def users(rng):
    return round(math.exp(rng.uniform(math.log(150), math.log(1_000_000))))


def values(rng, n, mean, deviation):
    """The sum and the squares that n users with about this mean and deviation have."""
    seen = rng.gauss(mean, deviation / math.sqrt(n))
    return seen * n, n * (seen * seen + deviation * deviation * rng.uniform(0.8, 1.2))


def covary(rng, n, first, second):
    """The products of two values that go together to some degree."""
    spread = math.sqrt((first[1] - first[0] ** 2 / n) * (second[1] - second[0] ** 2 / n))
    return first[0] * second[0] / n + rng.uniform(-0.9, 0.95) * spread


def case(rng):
    """A metric as we read it, and the statistics of both arms as gbstats does."""
    sizes = [users(rng), users(rng)]
    kind = rng.choice(["conversion", "mean", "adjusted", "ratio"])
    mean, deviation = rng.uniform(1, 50), rng.uniform(0.5, 20)
    arms, stats = [], []
    for n in sizes:
        if kind == "conversion":
            done = rng.randint(max(100, n // 50), max(110, n // 5))
            done = min(done, n - 1)
            arms.append({"conversions": done})
            stats.append(ProportionStatistic(sum=done, n=n))
            continue
        own = values(rng, n, mean, deviation)
        arm, stat = {"sum": own[0], "squares": own[1]}, SampleMeanStatistic(sum=own[0], sum_squares=own[1], n=n)
        if kind != "mean":
            other = values(rng, n, mean / 2, mean / 10)
            products = covary(rng, n, own, other)
            second = {"sum": other[0], "squares": other[1], "products": products}
            arm["covariate" if kind == "adjusted" else "denominator"] = second
            before = SampleMeanStatistic(sum=other[0], sum_squares=other[1], n=n)
            if kind == "adjusted":
                stat = RegressionAdjustedStatistic(
                    n=n, post_statistic=stat, pre_statistic=before, post_pre_sum_of_products=products, theta=0
                )
            else:
                stat = RatioStatistic(n=n, m_statistic=stat, d_statistic=before, m_d_sum_of_products=products)
        arms.append(arm)
        stats.append(stat)
    if kind == "adjusted":
        theta = compute_theta(*stats)
        for stat in stats:
            stat.theta = theta
    metric = {"kind": "mean" if kind == "adjusted" else kind, "control": arms[0], "treatment": arms[1]}
    sums = {"control": {"users": sizes[0]}, "treatment": {"users": sizes[1]}, "metrics": [metric]}
    return kind, sums, stats


def near(found, wanted, scale):
    return abs(found - wanted) <= NEAR * scale + 1e-12


def compare(binary, rng):
    kind, sums, stats = case(rng)
    command = [binary, "experiment", "result", "--sums", "-", "--json"]
    answer = subprocess.run(command, input=json.dumps(sums), capture_output=True, text=True, check=True)
    metric = json.loads(answer.stdout)["metrics"][0]
    for name in ["absolute", "relative"]:
        config = {"alpha": 0.05, "difference_type": name}
        for look, test in [
            ("looking_once", TwoSidedTTest(*stats, FrequentistConfig(**config))),
            ("whenever_you_look", SequentialTwoSidedTTest(*stats, SequentialConfig(sequential_tuning_parameter=5000, **config))),
        ]:
            wanted, found = test.compute_result(), metric[name][look]
            width = wanted.ci[1] - wanted.ci[0]
            ours = [found["low"], found["high"], metric[name]["estimate"]]
            theirs = [wanted.ci[0], wanted.ci[1], wanted.expected]
            same = all(near(a, b, width) for a, b in zip(ours, theirs)) and near(found["p"], wanted.p_value, 1)
            assert same, f"{kind} {name} {look}: {found}, gbstats {wanted}\n{json.dumps(sums)}"
    return kind


def main():
    binary, cases, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    rng, counts = random.Random(seed), {}
    for _ in range(cases):
        kind = compare(binary, rng)
        counts[kind] = counts.get(kind, 0) + 1
    print(f"{cases} random results equal those of gbstats (seed {seed}): {counts}")


if __name__ == "__main__":
    main()
