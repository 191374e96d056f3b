"""Images that recur: what is drawn, by what number it goes, what is seen in what a teacher shows, and a rare class."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from collapse_bench import cell_of, generations
from collapse_bench.core.components import Teacher
from collapse_bench.core.corpus import Corpus
from collapse_bench.core.loop import nature
from collapse_bench.core.rng import Stream
from collapse_bench.errors import Incompatible, UsageError
from collapse_bench.plugins.generators.digits import Digits
from collapse_bench.plugins.generators.idx_images import IdxImages
from collapse_bench.plugins.generators.pictures import Pictures
from collapse_bench.plugins.generators.pictures._measures import recall
from collapse_bench.plugins.models.gaussian_fit import GaussianFit
from collapse_bench.running.chains import run_chains

SEEDS = Stream(range(2))


def drawn(**parameters) -> Pictures:
    return Pictures(**{"test": 120, **parameters}).sample_truth(SEEDS.at("truth"))


def real(data, n, rng=SEEDS):
    x = data.ask(n, rng.at("x"))
    return x, data.answer(x, rng.at("y"))


def save(folder, half, images, labels):
    for what, values in (("images-idx3", images), ("labels-idx1", labels)):
        head = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">i4").tobytes()
        (folder / f"{half}-{what}-ubyte").write_bytes(head + values.astype(np.uint8).tobytes())


@pytest.fixture
def idx_folder(tmp_path):
    """Three classes of 6 x 4 pixels, told by which third is lit."""
    rng = np.random.default_rng(1)
    for half, n in (("train", 120), ("t10k", 40)):
        labels, images = np.arange(n) % 3, rng.integers(0, 90, (n, 6, 4))
        for c in range(3):
            images[labels == c, 2 * c : 2 * c + 2] += 160
        save(tmp_path, half, images, labels)
    return tmp_path


# -- what is drawn --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [(), (2,), (2, 3)])
def test_nature_shows_images_of_its_pool_and_repeats_none_before_it_is_through(batch):
    seeds = Stream(np.arange(math.prod(batch)).reshape(batch))
    data = Pictures().sample_truth(seeds.at("truth"))
    x, y = real(data, 1255, seeds)
    assert (x.shape, y.shape) == ((*batch, 1255, 0), (*batch, 1255, 64))
    numbers = data.identity(x, y)
    assert data.pool_size == 1255
    assert (numbers.sort(-1).values == data.number(data.truth.images[:1255]).sort().values).all()


def test_it_shows_the_images_that_digits_asks_about():
    labelled, data = (
        Digits().sample_truth(SEEDS.at("truth")),
        Pictures().sample_truth(SEEDS.at("truth")),
    )
    assert torch.equal(labelled.truth.images, data.truth.images)


def test_the_ledger_counts_different_images():
    *_, last = generations(
        cell_of("pictures(test=50) | gaussian-fit | mix(real=1) @ n=700 T=2", seeds=range(2))
    )
    unique = last.ledger.total("real_unique")
    assert last.ledger.total("real_rows") == 2100
    assert ((unique > 1100) & (unique <= 1255)).all()


def test_the_same_images_every_time():
    data = drawn(fresh=False)
    assert torch.equal(real(data, 30, SEEDS.at("a"))[1], real(data, 30, SEEDS.at("b"))[1])
    assert not torch.equal(real(drawn(), 30, SEEDS.at("a"))[1], real(drawn(), 30, SEEDS.at("b"))[1])


def test_a_class_is_asked_for_and_shown():
    data = drawn(given="class")
    x, y = real(data, 400)
    assert x.shape == (2, 400, 10)
    assert torch.equal(data.truth.labels[data.identity(x, y)], x.argmax(-1))
    asked = x.mean((0, 1))
    due = data.truth.share
    assert ((asked - due).abs() < 4 * (due * (1 - due) / 800).sqrt()).all()
    assert data.verify(x, y).double().mean() > 0.97
    assert data.verify(x, y.roll(1, 1)).double().mean() < 0.3
    assert float(data.losses(data, SEEDS)["class_missed"].max()) < 0.06


def test_without_a_class_there_is_nothing_to_verify():
    data = drawn()
    with pytest.raises(Incompatible, match="choose given=class"):
        data.verify(*real(data, 3))


def test_one_density_for_all_classes_is_refused_where_a_class_is_asked_for():
    record = run_chains(cell_of("pictures(given=class, test=50) | gaussian-fit @ n=50 T=1"), [0])
    assert record.facts.status == ("skipped",)
    assert "each of these answers a question of 10 numbers" in record.facts.reason[0]


# -- what is seen ---------------------------------------------------------------------------------------------------


class Shows(Teacher):
    """Always these images (n, pixels), over and over."""

    def __init__(self, images):
        self.images, self.asked = images, 0

    def answer(self, x, rng):
        self.asked += 1
        n = x.shape[-2]
        return self.images[torch.arange(n) % len(self.images)].expand(*rng.chain_shape, n, -1)


def held_out(data):
    return data.truth.images[data.truth.pool :]


def test_held_out_images_themselves_lose_nothing():
    data = drawn()
    losses = data.losses(Shows(held_out(data)), SEEDS)
    assert (losses["frechet_distance"] < 1e-9).all()
    for name in ("precision_lost", "recall_lost", "coverage_lost", "rarest_class_recall_lost"):
        assert (losses[name] == 0).all(), name


def test_one_image_over_and_over_is_precise_and_of_one_class():
    data = drawn()
    teacher = Shows(held_out(data)[:1])
    losses, described = data.losses(teacher, SEEDS), data.diagnostics(teacher)
    assert (losses["precision_lost"] == 0).all()
    assert (losses["recall_lost"] > 0.98).all()
    assert (losses["class_shares_off"] > 0.85).all()
    assert (described["label_entropy"] == 0).all()
    assert (described["classes_given"] == 0.1).all()


def test_noise_is_neither_near_nor_many_things():
    data = drawn()
    noise = data.losses(Shows(3 * Stream(1).normal(120, 64)), SEEDS)
    own = data.losses(data, SEEDS)
    assert (noise["frechet_distance"] > 10 * own["frechet_distance"]).all()
    assert (noise["precision_lost"] > 0.5).all()


def test_what_is_judged_is_described_without_being_drawn_again():
    data = drawn()
    teacher = Shows(held_out(data))
    losses = data.losses(teacher, SEEDS)
    shares = data.diagnostics(teacher)
    assert teacher.asked == 1
    again = drawn()
    assert torch.equal(again.diagnostics(teacher)["label_entropy"], shares["label_entropy"])
    assert torch.equal(again.losses(teacher, SEEDS)["frechet_distance"], losses["frechet_distance"])


def test_images_of_another_size_are_refused():
    with pytest.raises(Incompatible, match=r"expected images of shape \(2, 120, 64\)"):
        drawn().losses(Shows(torch.zeros(5, 32)), SEEDS)


def test_a_chain_that_shows_no_numbers_spoils_no_other():
    data = drawn()

    class Half(Shows):
        def answer(self, x, rng):
            y = super().answer(x, rng).clone()
            y[0, 3] = torch.nan
            return y

    found = data.losses(Half(held_out(data)), SEEDS)["frechet_distance"]
    assert found.isnan().tolist() == [True, False]


def test_a_folder_of_idx_files_serves_as_well(idx_folder):
    data = Pictures(path=idx_folder).sample_truth(SEEDS.at("truth"))
    assert (data.pool_size, data.truth.classes, len(held_out(data))) == (120, 3, 40)
    assert data.diagnostics(data)["label_entropy"].min() > 0.9 * math.log(
        3
    )  # its eyes tell the three thirds
    assert (data.losses(data, SEEDS)["class_shares_off"] < 0.25).all()
    with pytest.raises(UsageError, match="is not a folder"):
        _ = Pictures(path=idx_folder / "none").pool_size


# -- a rare class ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.05, 0.02, 0.001])
@pytest.mark.parametrize("world", [Digits, Pictures])
def test_minority_cuts_one_class_down(world, share):
    whole, table = world().table, world(minority=share, rare=3).table
    kept = int((table.labels[: table.pool] == 3).sum())
    assert abs(kept / table.pool - share) <= 0.5 / table.pool * 1.1 or kept == 1
    assert table.rarest == 3
    assert int((whole.labels[: whole.pool] != 3).sum()) == table.pool - kept
    assert torch.equal(
        table.images[table.pool :], whole.images[whole.pool :]
    )  # scaled by the same two numbers
    assert world(minority=share).table.rarest == whole.rarest


def test_a_class_is_not_made_more_frequent(idx_folder):
    with pytest.raises(UsageError, match=r"class 3 makes up 0.\d+ of the images of digits"):
        _ = Digits(minority=0.2, rare=3).table
    with pytest.raises(UsageError, match="classes 0 to 9, and rare=10 is not one of them"):
        _ = Digits(minority=0.02, rare=10).table
    with pytest.raises(UsageError, match="give its share too"):
        Pictures(rare=3)
    with pytest.raises(UsageError, match="must be > 0 and < 1"):
        IdxImages(path=idx_folder, minority=1.0)


def test_ids_of_cells_are_those_of_before_where_nothing_is_made_rare():
    """As records of earlier versions have them: parameters that came later are no part of an id at their defaults."""
    spec = "digits{} | random-features | replace @ n=300 T=10"
    assert cell_of(spec.format("")).id == "141639b7c55d0b7cbbac"
    assert (
        cell_of(spec.format("(minority=0.02)")).id
        != cell_of(spec.format("(minority=0.02, rare=1)")).id
    )


def test_pictures_held_out_are_cut_down_alike_but_for_the_recall_of_the_rare():
    data = drawn(test=542, minority=0.02, rare=0)
    reference, rare = data._held_out
    assert (len(reference.features), len(rare)) == (488 + 10, 54)
    blind = Shows(held_out(data)[data.truth.test_labels != 0])
    losses = data.losses(blind, SEEDS)
    assert (losses["rarest_class_recall_lost"] > 0.6).all()
    assert (losses["rarest_class_lost"] > 0.5).all()
    assert (losses["recall_lost"] < 0.05).all()


def test_recall_of_some_is_that_of_all_where_all_are_asked_about():
    fake, points = Stream(range(3)).normal(60, 4).double(), Stream(9).normal(30, 4).double()
    from collapse_bench.plugins.generators.pictures._measures import neighbourly

    assert torch.equal(recall(fake, points, 3), neighbourly(fake, points, 3)["recall"])


def test_a_network_loses_the_minority_first():
    cell = cell_of(
        "digits(minority=0.02, rare=8) | mlp(steps=200) | replace @ n=300 T=3", seeds=range(4)
    )
    first, *_, last = [now.scores for now in generations(cell)]
    gap = last["error_rarest_class"] - first["error_rarest_class"]
    assert gap.mean() > 0.15
    assert gap.mean() > 3 * (last["error_rate"] - first["error_rate"]).mean() > 0
    assert last["error_rarest_class"].mean() > 0.5


# -- the loop -------------------------------------------------------------------------------------------------------


def test_a_gaussian_is_fitted_to_pictures_and_drifts_away():
    def distance(protocol):
        cell = cell_of(f"pictures | gaussian-fit | {protocol} @ n=300 T=4", seeds=range(4))
        return torch.stack([now.scores["frechet_distance"] for now in generations(cell)])

    replaced, mixed = distance("replace"), distance("mix(real=0.5)")
    assert (replaced[-1] > 1.5 * replaced[0]).all()
    assert (mixed[-1] < replaced[-1]).all()


@pytest.mark.parametrize(
    "model", ["gaussian-fit", "kde(h=0.3)", "mixture-fit(components=3)", "kde(h=0)"]
)
@pytest.mark.parametrize("act", ["high-surprise", "temperature(t=0.8)", "distrust", "none"])
def test_densities_and_mitigations_bear_pixels_that_never_change(model, act):
    record = run_chains(
        cell_of(f"pictures(test=40) | {model} | replace | {act} @ n=80 T=2"), [0, 1]
    )
    assert set(record.facts.status) <= {"done", "skipped"}, record.facts.reason
    assert (
        set(record.facts.status) == {"done"}
        or "cannot be decoded" in record.facts.reason[0]
        or "h > 0" in str(record.facts.reason)
    )


@pytest.mark.parametrize(
    "model",
    [
        "vae(width=16, steps=20)",
        "ddpm(width=16, steps=20, levels=4)",
        "ddpm(net=unet, width=8, steps=5, levels=2)",
    ],
)
@pytest.mark.parametrize("given", ["nothing", "class"])
def test_generative_networks_bear_pixels(model, given):
    cell = cell_of(
        f"pictures(test=40, given={given}) | {model} | mix(real=0.5) @ n=60 T=1", seeds=range(1)
    )
    for now in generations(cell):
        assert now.scores["frechet_distance"].isfinite().all()
        assert now.teacher.account["steps"] > 0


def test_a_u_net_wants_a_square():
    record = run_chains(cell_of("gaussian(d=8) | ddpm(net=unet) @ n=20 T=0"), [0])
    assert record.facts.status == ("skipped",)
    assert (
        "the U-Net of ddpm reads square images of at least 4 x 4 pixels, and 8 numbers are not one"
        in record.facts.reason[0]
    )


def test_networks_of_densities_have_no_loss_of_labels():
    corpus = Corpus.of(None, Stream(1).normal(20, 2), ())
    for cell in ("gaussian(d=2) | vae @ n=9", "gaussian(d=2) | ddpm @ n=9"):
        model = cell_of(cell).model
        with pytest.raises(Incompatible, match="no probabilities of labels or tokens"):
            model.with_loss(None)
    assert GaussianFit().fit(corpus, Stream(2)).mean_and_factor()[0].shape == (2,)


@pytest.mark.slow
@pytest.mark.parametrize(
    "model", ["vae(steps=400)", "ddpm(width=96, steps=400, levels=20, lr=0.01)"]
)
def test_self_consuming_networks_drift_away_and_lose_recall_and_real_images_hold_them(model):
    def run(entry):
        cell = cell_of(f"pictures | {model} | {entry} @ n=600 T=3", seeds=range(3))
        return [now.scores for now in generations(cell, None, nature(cell))]

    replaced, mixed = run("replace"), run("mix(real=0.5)")
    assert (replaced[-1]["frechet_distance"] > 1.5 * replaced[0]["frechet_distance"]).all()
    assert (replaced[-1]["recall_lost"] > replaced[0]["recall_lost"]).all()
    for name in ("frechet_distance", "recall_lost"):
        assert (replaced[-1][name] > mixed[-1][name]).all()
