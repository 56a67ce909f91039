"""What earlier runs leave behind: here, what was found on other test images."""

from types import SimpleNamespace

import numpy as np
import pytest

from thumbnets import paths
from thumbnets.artifacts import write_json, write_text
from thumbnets.data.arrays import Meta, Split, read_checksum, write_split
from thumbnets.evaluation.summaries import common_checksum
from thumbnets.stale import remove_results_of_other_data, remove_stale_runs


@pytest.fixture
def results(tmp_path, monkeypatch):
    """Writes what evaluation and ensemble leave, of the given checksums; says what is there."""
    monkeypatch.chdir(tmp_path)

    def write(ensemble: str = "new", **slots: str) -> None:
        write_json(paths.ENSEMBLE_METRICS, {"test_sha256": ensemble})
        write_json(paths.SUMMARY, {})
        write_json(paths.correct("ensemble"), {})
        for slot, checksum in slots.items():
            write_json(paths.metrics(slot), {"test_sha256": checksum} if checksum else {})
            for path in (paths.correct(slot), paths.test_predictions(slot), paths.confusion(slot)):
                write_text(path, "")

    def there() -> list[str]:
        return sorted(str(p) for p in tmp_path.glob("**/*") if p.is_file())

    return write, lambda: [name.removeprefix(f"{tmp_path}/") for name in there()]


def test_what_was_found_on_other_images_goes_with_all_that_rests_on_it(results):
    write, there = results
    write(ensemble="old", kept="new", old="old", headline="old", before="")
    remove_results_of_other_data("new")
    assert there() == [
        "metrics/correct/kept.json",
        "metrics/models/kept.json",
        "plots/confusion/kept.csv",
        "predictions/test/kept.npz",
    ]


def test_what_is_of_the_same_images_stays(results):
    write, there = results
    write(a="new", headline="new")
    before = there()
    remove_results_of_other_data("new")
    assert there() == before and len(before) == 3 + 2 * 4
    paths.metrics("a").write_text("{")  # damaged
    remove_results_of_other_data("new")
    assert not paths.correct("a").exists() and paths.SUMMARY.exists()


def test_a_summary_is_of_one_data_set():
    assert common_checksum({"a": {"test_sha256": "x"}, "b": {"test_sha256": "x"}}) == "x"
    with pytest.raises(ValueError, match="a and b were scored on other test images: run `dvc repr"):
        common_checksum({"a": {"test_sha256": "x"}, "b": {"test_sha256": "y"}})


def test_other_groups_of_the_same_images_are_other_data(tmp_path):
    meta = Meta("toy", ["a"], 1, 2, [0.5], [0.1], [4], "ab" * 32)
    split = Split(np.zeros((4, 1, 2, 2), np.uint8), np.zeros(4, np.int64), meta)
    found = []
    for group in (None, [0, 0, 1, 1], [0, 1, 1, 1], None):
        numbers = None if group is None else np.array(group)
        write_split(tmp_path, Split(split.images, split.labels, meta, group=numbers))
        found.append(read_checksum(tmp_path))
    assert found[0] == found[3] == meta.sha256 and len(set(found)) == 3


def test_a_half_written_file_of_the_headline_goes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    params = SimpleNamespace(pool=["a"], seeds=[0])
    stays = [paths.weights("headline", 0), paths.test_predictions("headline")]
    half = stays[1].with_name(".test.npz.4711.tmp")
    for path in (*stays, paths.confusion("headline"), half):
        write_text(path, "")
    remove_stale_runs(params)
    assert all(path.exists() for path in stays) and not half.exists()
