"""`predict` beside a bare loop over chunks that reads, scores and writes the same file.

And on a folder of Parquet files, two processes beside one: how much faster they are, and whether
more rows take more memory. The model has one thread in each process there (OMP_NUM_THREADS): left
alone, gradient boosting uses every core from one process, and a second one has nothing to add.
"""

import argparse
import statistics
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from measure import (
    Command,
    Cost,
    alternate,
    bake,
    configure,
    cost,
    cost_of_all,
    project_command,
    show,
)
from run import CONF, write_table

FILE_ROWS = 250_000

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
    parser.add_argument("--rows", type=int, default=1_000_000, help="of the file")
    parser.add_argument("--folder-rows", type=int, default=5_000_000, help="of the folder")
    parser.add_argument("--runs", type=int, default=3, help="of each, in turn")
    parser.add_argument("--only", choices=["file", "folder"], help="one of the two parts")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        small = folder / "small.csv"
        write_table(small, 20_000)
        project = bake(folder)
        configure(project, CONF.format(source=small, folds=0))
        cost(project_command(project, "run", "--until", "evaluate"))
        if arguments.only != "folder":
            score_file(folder, project, arguments.rows, arguments.runs)
        if arguments.only != "file":
            score_folder(folder, project, arguments.folder_rows, arguments.runs)


def score_file(folder: Path, project: Path, rows: int, runs: int) -> None:
    """Compare with the floor."""
    large, script = folder / "large.csv", folder / "floor.py"
    write_table(large, rows)
    script.write_text(FLOOR, encoding="utf-8")
    model = next((project / "models").glob("*/model.skops"))
    ours = project_command(project, "predict", str(large), str(folder / "ours.csv"))
    floor = Command([sys.executable, script, model, large, folder / "floor.csv"])
    costs = alternate(ours, floor, runs)
    show(f"predict, {rows:,} rows", *costs, limit=1.25)


def score_folder(folder: Path, project: Path, rows: int, runs: int) -> None:
    """Compare two processes with one, and many rows with a fifth of them."""
    many, few = folder / "many", folder / "few"
    count = max(10, rows // FILE_ROWS)  # a fifth of them are enough for two processes
    write_files(many, count, rows // count)
    few.mkdir()
    for path in sorted(many.iterdir())[: count // 5]:
        (few / path.name).hardlink_to(path)
    costs: dict[tuple[Path, int], list[Cost]] = {}
    for turn in range(runs):
        for source, processes in ((many, 1), (many, 2), (few, 1), (few, 2)):
            output = folder / f"scored-{turn}-{source.name}-{processes}"
            words = ("predict", str(source), str(output), "--processes", str(processes))
            command = project_command(project, *words)
            environment = {**(command.environment or {}), "OMP_NUM_THREADS": "1"}
            taken = cost_of_all(replace(command, environment=environment))
            costs.setdefault((source, processes), []).append(taken)
            for path in output.iterdir():
                path.unlink()
    seconds = [statistics.median(each.seconds for each in costs[many, n]) for n in (1, 2)]
    print(
        f"predict, a folder of {rows:,} rows: one process {rows / seconds[0]:,.0f} rows/s, "
        f"two {rows / seconds[1]:,.0f} rows/s, x {seconds[0] / seconds[1]:.2f} (at least 1.6)"
    )
    for n in (1, 2):
        peaks = [statistics.median(each.megabytes for each in costs[of, n]) for of in (few, many)]
        print(
            f"predict, peak memory of all with --processes {n}: {peaks[0]:.0f} MB at "
            f"{rows // 5:,} rows, {peaks[1]:.0f} MB at {rows:,}, "
            f"ratio {peaks[1] / peaks[0]:.2f} (at most 1.1)"
        )


def write_files(folder: Path, count: int, rows: int) -> None:
    """Write Parquet files of 19 features and the target, as `write_table` does."""
    folder.mkdir()
    random = np.random.default_rng(7)
    for at in range(count):
        values = random.normal(size=(rows, 19)).round(2)
        frame = pd.DataFrame(values, columns=[f"x{number}" for number in range(19)])
        frame["target"] = (values[:, 0] > 0).astype(int)
        frame.to_parquet(folder / f"part-{at:03}.parquet", index=False)


if __name__ == "__main__":
    main()
