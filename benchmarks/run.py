"""`run` on a million rows beside a bare script that reads, splits, fits as often and scores.

Both read the same CSV of 1,000,000 rows and 20 columns, fit histogram gradient boosting FOLDS + 1
times and score on valid and test; the report is left out. `--rows 200 --columns 5000` measures a
wide table.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from measure import Command, bake, configure, cost, project_command, show

FOLDS = 3
CONF = """[data]
source = {source}
target = target
[model]
task = classification
candidates = hgb
folds = {folds}
"""
FLOOR = '''
import sys

import pandas as pd
from sklearn import metrics
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import StratifiedKFold, train_test_split


def score(model, features, target):
    """Every metric that the project reports."""
    probability = model.predict_proba(features)[:, 1]
    prediction = (probability >= 0.5).astype(int)
    return (
        metrics.roc_auc_score(target, probability), metrics.log_loss(target, probability),
        metrics.accuracy_score(target, prediction), metrics.f1_score(target, prediction),
        metrics.balanced_accuracy_score(target, prediction),
        metrics.precision_score(target, prediction), metrics.recall_score(target, prediction),
    )


frame = pd.read_csv(sys.argv[1])
train, rest = train_test_split(frame, train_size=0.7, stratify=frame["target"], random_state=42)
valid, test = train_test_split(rest, train_size=0.5, stratify=rest["target"], random_state=42)
del frame, rest
features, target = train.drop(columns="target"), train["target"]
model = HistGradientBoostingClassifier(random_state=42)
for rows, held_out in StratifiedKFold(int(sys.argv[2]), shuffle=True, random_state=42).split(
    features, target
):
    model.fit(features.iloc[rows], target.iloc[rows])
    score(model, features.iloc[held_out], target.iloc[held_out])
model.fit(features, target)
for part in (valid, test):
    print(score(model, part.drop(columns="target"), part["target"]))
'''


def write_table(path: Path, rows: int, columns: int = 20) -> None:
    """Write numeric features and, as the last column, a binary target that follows from some."""
    random = np.random.default_rng(7)
    values = random.normal(size=(rows, columns - 1)).round(6)
    score = values[:, 0] + values[:, 1] * values[:, 2] + np.sin(3 * values[:, 3])
    frame = pd.DataFrame(values, columns=[f"x{number}" for number in range(columns - 1)])
    frame["target"] = (score + random.normal(size=rows) > 0).astype(int)
    frame.to_csv(path, index=False)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=20)
    parser.add_argument("--runs", type=int, default=1, help="of each, in turn")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table, script = folder / "table.csv", folder / "floor.py"
        write_table(table, arguments.rows, arguments.columns)
        script.write_text(FLOOR, encoding="utf-8")
        project = bake(folder)
        small = folder / "small.csv"
        write_table(small, min(2_000, arguments.rows), arguments.columns)
        configure(project, CONF.format(source=small, folds=FOLDS))
        ours = project_command(project, "run", "--force", "--until", "evaluate")
        cost(ours)  # compiles what it imports
        configure(project, CONF.format(source=table, folds=FOLDS))
        floor = Command([sys.executable, script, str(table), str(FOLDS)])
        pairs = []
        for _ in range(arguments.runs):
            # A run that is recorded is never fitted again.
            (project / "logs" / "runs.jsonl").unlink()
            pairs.append((cost(ours), cost(floor)))
        ours_costs, floor_costs = (list(costs) for costs in zip(*pairs, strict=True))
        size = f"{arguments.rows:,} rows, {arguments.columns:,} columns"
        # What is done for each column, whatever the rows, is most of a wide table's time.
        wide = arguments.columns > arguments.rows
        limits = {"limit": 3.0} if wide else {"limit": 1.25, "memory": 1.3}
        show(f"run, {size}", ours_costs, floor_costs, **limits)


if __name__ == "__main__":
    main()
