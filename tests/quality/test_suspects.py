"""Suspects of a run: which images are judged, how they are named, and the file that is edited."""

import numpy as np
import pytest

from thumbnets import paths
from thumbnets.artifacts import write_array, write_csv
from thumbnets.data.corrections import correct_labels, read_corrections
from thumbnets.data.readers import Part
from thumbnets.quality.images import FILES
from thumbnets.quality.suspects import average, find_suspects, write_suggestions

CLASSES = ["=cat", "dog"]
LABELS = np.array([0, 1] * 6)


def logits_of(right: np.ndarray) -> np.ndarray:
    """Confident logits float32 [V, 2] of classes int64 [V]."""
    return (4 * np.eye(2)[right]).astype(np.float32)


@pytest.fixture
def images(tmp_path, monkeypatch) -> np.ndarray:
    """Twelve training images, of which number 4 is labelled wrong."""
    monkeypatch.chdir(tmp_path)
    found = np.arange(12 * 64).reshape(12, 1, 8, 8).astype(np.uint8)
    found += np.arange(12, dtype=np.uint8)[:, None, None, None]
    write_array(paths.TRAIN / "images.npy", found)
    write_array(paths.TRAIN / "labels.npy", LABELS)
    return found


def held_out(*places: int) -> tuple[np.ndarray, np.ndarray]:
    truth = LABELS.copy()
    truth[4] = 1
    return np.array(places), logits_of(truth[list(places)])


def test_probabilities_are_means_over_those_that_held_an_image_out():
    sure, other = logits_of(np.array([0, 1])), logits_of(np.array([1]))
    mean, judged = average([(np.array([2, 5]), sure), (np.array([5]), -other)], 7, 2)
    assert judged.tolist() == [2, 5]
    assert mean[5] == pytest.approx([0.5, 0.5]) and mean[2].argmax() == 0 and not mean[0].any()


def test_suggestions_are_corrections_that_apply(images, tmp_path):
    found = find_suspects([held_out(*range(6)), held_out(*range(6, 10))], CLASSES)
    [suspect] = found.found
    assert (suspect.name, suspect.label, suspect.suggested) == ("4", "=cat", "dog")
    assert found.accuracy == pytest.approx(0.9)
    assert (found.judged, found.images) == (10, 12) and found.confused == [("=cat", "dog", 1)]
    assert np.array_equal(found.pictures, images[4:5])

    path = tmp_path / "corrections.csv"
    write_suggestions(path, found)
    assert ",4,'=cat,dog,-0.9" in path.read_text()  # no formula for a spreadsheet
    mended = correct_labels(
        Part(images, LABELS), read_corrections(path, tuple(CLASSES)), tuple(CLASSES)
    )
    assert np.flatnonzero(mended.labels != LABELS).tolist() == [4]


def test_own_images_go_by_their_files(images):
    rows = [{"file": f"x/{n}.png", "checksum": f"{n:064x}"} for n in range(12)]
    write_csv(paths.FLAWS / FILES, rows)
    both = [held_out(*range(6)), held_out(*range(6, 12))]
    [suspect] = find_suspects(both, CLASSES).found
    assert (suspect.name, suspect.checksum) == ("x/4.png", f"{4:064x}")
    write_csv(paths.FLAWS / FILES, rows[:5])
    with pytest.raises(ValueError, match="files.csv is damaged .*12 rows are needed, got 5"):
        find_suspects(both, CLASSES)


def test_classes_that_were_not_learned_are_not_judged(images):
    """Whole groups validate, and with them all images of a class: none of its labels is wrong."""
    of_class, others = np.flatnonzero(LABELS == 1), np.flatnonzero(LABELS == 0)
    for held in (of_class, np.concatenate([of_class, others[:2]])):
        untaught = held, logits_of(np.zeros(len(held), int))  # all are taken for the other class
        found = find_suspects([untaught], CLASSES)
        if len(held) == len(of_class):
            assert found is None  # nothing is left to judge
        else:
            assert found.judged == 2 and not found.found


def test_no_suspects_leave_a_header(tmp_path):
    write_suggestions(tmp_path / "none.csv", None)
    assert (tmp_path / "none.csv").read_text() == "checksum,file,old_label,new_label,margin\n"
