"""Labelled images: what is asked, by what number it goes, what nature says, and how a teacher is judged."""

import gzip
import math

import numpy as np
import pytest
import torch

from collapse_bench.core.components import Teacher
from collapse_bench.core.loop import generations
from collapse_bench.core.rng import Stream
from collapse_bench.errors import Incompatible, UsageError
from collapse_bench.registry.discovery import registry

BATCHES = [(), (2,), (2, 3)]


def stream(batch=(2,), path="test"):
    return Stream(np.arange(math.prod(batch)).reshape(batch), path)


def save(folder, half, images, labels):
    """One half of a data set as two idx files, the images packed."""
    for what, values in (("images-idx3", images), ("labels-idx1", labels)):
        head = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">i4").tobytes()
        content = head + values.astype(np.uint8).tobytes()
        packed = what == "images-idx3"
        path = folder / f"{half}-{what}-ubyte{'.gz' if packed else ''}"
        path.write_bytes(gzip.compress(content) if packed else content)


@pytest.fixture
def idx_folder(tmp_path):
    """40 training and 11 test images of 3 x 3 pixels; four classes, the last one rare; images 7 and 30 are equal."""
    rng = np.random.default_rng(1)
    images, labels = (
        rng.integers(0, 256, (51, 3, 3)),
        np.r_[np.arange(39) % 3, 3, np.arange(10) % 3, 3],
    )
    images[30], labels[30] = images[7], labels[7]
    save(tmp_path, "train", images[:40], labels[:40])
    save(tmp_path, "t10k", images[40:], labels[40:])
    return tmp_path


@pytest.fixture(params=["digits", "idx-images"])
def data(request, idx_folder):
    call = "digits" if request.param == "digits" else f'idx-images(path="{idx_folder}")'
    return registry().build("generator", call)


@pytest.mark.parametrize("batch", BATCHES)
def test_shapes_and_labels(data, batch):
    true = data.sample_truth(stream(batch))
    x = true.ask(9, stream(batch))
    assert x.shape[:-1] == (*batch, 9)
    assert x.dtype == torch.float32
    y = true.answer(x, stream(batch))
    assert y.shape == (*batch, 9)
    assert y.dtype == torch.int64
    assert true.verify(x, y).all()
    assert not true.verify(x, y + 1).any()
    assert true.mean_answer(x).shape == (*batch, 9, true.labels)
    assert all(
        loss.shape == batch
        for loss in (true.losses(true, stream(batch)) | true.diagnostics(true)).values()
    )


def test_pixels_are_scaled_by_two_numbers(data):
    pool = data.sample_truth(stream()).truth.images[: data.pool_size].double()
    assert abs(pool.mean()) < 1e-5
    assert abs(pool.std(correction=0) - 1) < 1e-5


def test_a_draw_repeats_nothing_before_the_pool_is_through(data):
    true, pool = data.sample_truth(stream()), data.pool_size
    which = true.truth.images[:pool]
    x = true.ask(2 * pool + 3, stream())
    first = torch.cdist(x[0, :pool].double(), which.double()).argmin(-1).bincount(minlength=pool)
    second = (
        torch.cdist(x[0, pool : 2 * pool].double(), which.double())
        .argmin(-1)
        .bincount(minlength=pool)
    )
    assert torch.equal(
        first, second
    )  # equal images go by one number, so that compare with each other
    assert (first > 0).sum() >= pool - 1
    assert not torch.equal(x[0, :pool], x[0, pool : 2 * pool])
    assert not torch.equal(x[0], x[1])


@pytest.mark.parametrize("k", [0, 1, 5, 39, 40, 41, 300, 1255, 1300])
def test_the_first_rows_do_not_depend_on_how_many_were_asked_for(data, k):
    true = data.sample_truth(stream())
    assert torch.equal(true.ask(k, stream()), true.ask(2600, stream())[..., :k, :])


def test_a_replicate_asks_the_same_alone(data):
    among, alone = data.sample_truth(stream((5,))), data.sample_truth(stream((5,))[3])
    assert torch.equal(among.ask(20, stream((5,)))[3], alone.ask(20, stream((5,))[3]))


def test_identity_recovers_every_image(data):
    true = data.sample_truth(stream())
    number = true.identity(true.truth.images.expand(2, -1, -1))
    kept = torch.arange(len(true.truth.labels))
    same = number == kept
    for i in (~same[0]).nonzero()[:, 0].tolist():  # an equal image has a lower number
        assert number[0, i] < i
        assert torch.equal(true.truth.images[i], true.truth.images[number[0, i]])
    assert (~same[0]).sum() <= 1
    assert (number[..., : data.pool_size] < data.pool_size).all()


def test_equal_images_go_by_one_number(idx_folder):
    true = (
        registry().build("generator", f'idx-images(path="{idx_folder}")').sample_truth(stream(()))
    )
    assert true.identity(true.truth.images[[7, 30, 31]]).tolist() == [7, 7, 31]


def test_an_image_from_elsewhere_has_no_label(data):
    true = data.sample_truth(stream())
    x = true.ask(5, stream())
    with pytest.raises(Incompatible, match="3 questions are not images"):
        true.answer(torch.cat([x[:, :2], x[:, 2:] + 1e-3], 1)[:1, :5], stream())


def test_fresh_or_reused_questions():
    fresh = registry().build("generator", "digits").sample_truth(stream())
    reused = registry().build("generator", "digits(fresh=false)").sample_truth(stream())
    assert not torch.equal(fresh.ask(50, stream(path="a")), fresh.ask(50, stream(path="b")))
    assert torch.equal(reused.ask(50, stream(path="a")), reused.ask(50, stream(path="b")))


def test_nature_makes_no_error_and_is_described_as_it_is(data):
    true = data.sample_truth(stream())
    assert all((loss == 0).all() for loss in true.losses(true, stream()).values())
    share = torch.bincount(true.truth.test_labels).double() / len(true.truth.test_labels)
    described = true.diagnostics(true)
    torch.testing.assert_close(
        described["label_entropy"], torch.special.entr(share).sum().expand(2)
    )
    assert (described["classes_given"] == 1).all()


def test_losses_and_diagnostics_ask_a_teacher_once_and_no_other_teacher_s_answers_count(data):
    true = data.sample_truth(stream())
    asked = []

    class Says(Teacher):
        def __init__(self, label):
            self.label = label

        def mean_answer(self, x):
            asked.append(self.label)
            column = torch.full(x.shape[:-1], self.label)
            return torch.nn.functional.one_hot(column, true.labels).double()

    right = torch.bincount(true.truth.test_labels).double() / len(true.truth.test_labels)
    for label in (0, 1, 0):
        teacher = Says(label)
        losses, described = true.losses(teacher, stream()), true.diagnostics(teacher)
        torch.testing.assert_close(losses["error_rate"], (1 - right[label]).expand(2))
        assert (described["classes_given"] == 1 / true.labels).all()
    assert asked == [0, 1, 0]


class Stubborn(Teacher):
    """Scores in columns 0 .. last; always answers the last."""

    def __init__(self, last):
        self.last = last

    def mean_answer(self, x):
        return torch.arange(self.last + 1.0).expand(*x.shape[:-1], -1)


def test_errors_by_class(idx_folder):
    true = registry().build("generator", f'idx-images(path="{idx_folder}")').sample_truth(stream())
    assert true.truth.rarest == 3
    never = true.losses(
        Stubborn(2), stream()
    )  # the column of label 3 is missing: as if it were -inf
    torch.testing.assert_close(never["error_rate"], torch.full((2,), 8 / 11, dtype=torch.float64))
    assert (never["error_rarest_class"] == 1).all()
    only = true.losses(Stubborn(3), stream())
    assert (only["error_rarest_class"] == 0).all()
    assert (only["error_worst_class"] == 1).all()
    assert (true.diagnostics(Stubborn(3))["label_entropy"] == 0).all()
    assert (true.diagnostics(Stubborn(3))["rarest_class_share"] == 1).all()


def test_a_teacher_without_scores_of_classes_is_refused():
    true = registry().build("generator", "digits").sample_truth(stream())
    true_like = Stubborn(3)
    true_like.mean_answer = lambda x: x[..., 0]
    with pytest.raises(Incompatible, match="expected class scores"):
        true.losses(true_like, stream())


def test_judging_in_small_pieces_is_the_same(monkeypatch):
    true = registry().build("generator", "digits").sample_truth(stream())
    whole = true.losses(Stubborn(4), stream())
    monkeypatch.setattr("collapse_bench.lib.images.images.BUDGET", 5000)
    pieces = true.losses(Stubborn(4), stream())
    assert all(torch.equal(whole[name], pieces[name]) for name in whole)


def test_digits_are_split_alike_in_all_classes():
    data = registry().build("generator", "digits")
    train_x, train_y, test_x, test_y = data.images()
    assert (len(train_x), len(test_x)) == (1255, 542)
    share = np.bincount(test_y) / np.bincount(np.r_[train_y, test_y])
    assert np.abs(share - 0.3).max() < 0.01
    assert data.pool_size == 1255
    assert data.resolution == 1 / 542
    assert data.labels == 10


def test_idx_images_reads_what_it_is_told(idx_folder, tmp_path):
    data = registry().build("generator", f'idx-images(path="{idx_folder}", test=4)')
    assert (data.pool_size, data.resolution, data.labels) == (40, 1 / 4, 4)
    with pytest.raises(UsageError, match="needs the folder"):
        registry().build("generator", "idx-images")
    with pytest.raises(UsageError, match="is not a folder"):
        registry().build("generator", f'idx-images(path="{tmp_path / "none"}")').sample_truth(
            stream()
        )


def test_the_id_of_a_cell_follows_the_files(idx_folder, tmp_path_factory):
    def cell(folder):
        return registry().cell(
            f'idx-images(path="{folder}") | random-features | replace @ n=20 T=1'
        )

    twin = tmp_path_factory.mktemp("twin")
    for path in idx_folder.iterdir():
        (twin / path.name).write_bytes(path.read_bytes())
    assert cell(twin).id == cell(idx_folder).id
    save(twin, "t10k", np.zeros((3, 3, 3)), np.arange(3))
    assert cell(twin).id != cell(idx_folder).id


def test_the_ledger_counts_different_images():
    cell = registry().cell(
        "digits | random-features(width=20) | mix(real=1) @ n=700 T=3", seeds=(0, 1)
    )
    *_, last = generations(cell)
    unique = last.ledger.total("real_unique")
    assert last.ledger.total("real_rows") == 2800
    assert ((unique > 1200) & (unique <= 1255)).all()


def test_a_classifier_collapses_on_digits_and_a_verifier_holds_it():
    def error(protocol):
        cell = registry().cell(
            f"digits | random-features(width=100) | {protocol} @ n=200 T=6", seeds=range(8)
        )
        return torch.stack([now.scores["error_rate"] for now in generations(cell)])

    replaced, verified = error("replace"), error("verify-filter")
    assert torch.equal(replaced[0], verified[0])
    rise = replaced[-1] - replaced[0]
    assert rise.mean() > 4 * rise.std() / len(rise) ** 0.5
    assert (replaced[-1] > verified[-1]).all()
