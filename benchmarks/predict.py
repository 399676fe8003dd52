"""`predict` beside a bare loop over chunks that reads, scores and writes the same file."""

import argparse
import sys
import tempfile
from pathlib import Path

from measure import Command, alternate, bake, configure, cost, project_command, show
from run import CONF, write_table

FLOOR = """
import sys

import pandas as pd
import skops.io

model = skops.io.load(sys.argv[1], trusted=skops.io.get_untrusted_types(file=sys.argv[1]))
wanted = list(model.feature_names_in_)
header = True
for chunk in pd.read_csv(sys.argv[2], chunksize=50_000):
    probability = model.predict_proba(chunk[wanted].astype(float))
    output = pd.DataFrame({
        "prediction": probability.argmax(axis=1),
        "probability_0": probability[:, 0],
        "probability_1": probability[:, 1],
    })
    output.to_csv(sys.argv[3], mode="w" if header else "a", header=header, index=False)
    header = False
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=3, help="of each, in turn")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        small, large, script = folder / "small.csv", folder / "large.csv", folder / "floor.py"
        write_table(small, 20_000)
        write_table(large, arguments.rows)
        script.write_text(FLOOR, encoding="utf-8")
        project = bake(folder)
        configure(project, CONF.format(source=small, folds=0))
        train = project_command(project, "run", "--until", "evaluate")
        cost(train)
        model = next((project / "models").glob("*/model.skops"))
        ours = project_command(project, "predict", str(large), str(folder / "ours.csv"))
        floor = Command([sys.executable, script, model, large, folder / "floor.csv"])
        costs = alternate(ours, floor, arguments.runs)
        show(f"predict, {arguments.rows:,} rows", *costs, limit=1.25)


if __name__ == "__main__":
    main()
