"""What `dvc plots` draws."""

from thumbnets.artifacts import read_csv
from thumbnets.report.plots import write_plots
from thumbnets.report.results import read_results


def test_tables_hold_every_model(make_run, tmp_path):
    write_plots(read_results(make_run()), tmp_path / "plots")
    accuracy = {
        row["model"]: row["accuracy"] for row in read_csv(tmp_path / "plots" / "accuracy.csv")
    }
    assert accuracy == {"mlp4": "0.85", "cnn_c": "0.95", "ensemble": "0.95"}
    curves = read_csv(tmp_path / "plots" / "learning_curves.csv")
    assert [(row["model"], row["epoch"]) for row in curves[2:4]] == [("mlp4", "3"), ("cnn_c", "1")]
    confusion = read_csv(tmp_path / "plots" / "confusion.csv")
    assert len(confusion) == 2 * 40
    assert sum(row["actual"] == row["predicted"] for row in confusion) == 36 + 32


def test_same_run_gives_the_same_bytes(make_run, tmp_path):
    results = read_results(make_run())
    for folder in ("a", "b"):
        write_plots(results, tmp_path / folder)
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert files == [
        f"{name}.{suffix}"
        for name in ("accuracy", "confusion", "learning_curves")
        for suffix in ("csv", "png")
    ]
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
