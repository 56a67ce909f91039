"""Snapshot, fast geometric, gradient boosting: when members end, and at which learning rates."""

import pytest
import torch

from thumbnets.methods.base import build_method
from thumbnets.methods.sequential import Restarts
from thumbnets.registry import OPTIMIZERS, SCHEDULES
from thumbnets.training.classifier import Classifier
from thumbnets.training.loop import Training
from thumbnets.training.optimizers import build_optimizer

COSINE = [0.2, 0.170711, 0.1, 0.029289]  # of 4 steps from 0.2, section 6 of the notes
WALK = [0.05, 0.037525, 0.02505, 0.012575, 0.0001, 0.012575, 0.02505, 0.037525]  # likewise


@pytest.fixture
def rates(meta):
    """Learning rates of all steps of a block, with so many steps an epoch."""

    def run(settings, steps: int) -> list[float]:
        layer = torch.nn.Sequential(*(torch.nn.Linear(2, 2) for _ in range(3)))
        optimizer = build_optimizer(layer, settings.train)
        schedule = build_method(settings, meta).schedule(optimizer, settings.train, steps)
        found = []
        for _ in range(settings.train.epochs):
            for _ in range(steps):
                found.append(optimizer.param_groups[0]["lr"])
                layer(torch.ones(1, 2)).sum().backward()
                optimizer.step()
                schedule.after_step()
            schedule.after_epoch(1.0)
        return found

    return run


def weights(member) -> bytes:
    return b"".join(tensor.numpy().tobytes() for tensor in member.state_dict().values())


@pytest.fixture
def followed(toy_images, meta, watcher):
    """Trains; returns weights of all members before and after every epoch, and the training."""

    def train(settings):
        training = Training(build_method(settings, meta), toy_images(40), toy_images(30, 1), seed=0)
        members = training.network.members
        seen = [[weights(member) for member in members]]
        after = training.method.after_epoch

        def note(epochs: int) -> None:
            seen.append([weights(member) for member in members])
            after(epochs)

        training.method.after_epoch = note
        training.run(watcher)
        return seen, training

    return train


# Courses of the learning rate.


def test_the_course_of_snapshots_by_hand(ensemble, rates):
    settings = ensemble("snapshot", schedule="cosine", lr=0.2)
    assert rates(settings, 2) == pytest.approx(COSINE * 3, abs=1e-6)


def test_the_course_of_a_walk_by_hand(model_settings, rates):
    """Cycles of 4 epochs of 2 steps; 2 usual epochs come before, and the last low ends it."""
    method = {"name": "fast_geometric", "members": 3, "cycle": 4}
    settings = model_settings(method=method, epochs=12, lr=0.1)
    assert rates(settings, 2) == pytest.approx([0.1] * 4 + WALK * 2 + WALK[:4], abs=1e-7)


@pytest.mark.parametrize(
    ("options", "train", "message"),
    [
        ({"low": 0.5}, {}, "models.toy.method.low must be less than high, 0.5, got 0.5"),
        ({}, {"warmup": 2.5}, "the epochs before the walk, 2, for method: fast_geometric, got 2.5"),
    ],
)
def test_a_walk_has_lows_and_leaves_time_for_the_warmup(
    model_settings, meta, options, train, message
):
    method = {"name": "fast_geometric", "members": 3, "cycle": 4, **options}
    with pytest.raises(ValueError, match=message):
        build_method(model_settings(method=method, epochs=12, **train), meta)


@pytest.mark.parametrize("name", ["snapshot", "gradient_boosting"])
@pytest.mark.parametrize("schedule", SCHEDULES.entries)
@pytest.mark.parametrize("warmup", [0.0, 0.8])
def test_every_schedule_goes_its_way_anew_for_each_member(ensemble, rates, name, schedule, warmup):
    of_one = rates(ensemble(name, members=1, schedule=schedule, epochs=4, warmup=warmup), 5)
    of_three = rates(ensemble(name, schedule=schedule, epochs=12, warmup=warmup), 5)
    assert of_three == pytest.approx(of_one * 3, rel=1e-9)


@pytest.mark.parametrize("schedule", ["onecycle", "step", "plateau"])
def test_a_walk_follows_the_schedule_of_the_other_epochs(model_settings, rates, schedule):
    def settings(epochs: int, method: dict | str):
        return model_settings(method=method, epochs=epochs, schedule=schedule, lr=0.1)

    found = rates(settings(9, {"name": "fast_geometric", "members": 2, "cycle": 2}), 3)
    assert found[:18] == pytest.approx(rates(settings(6, "supervised"), 3))
    assert found[18:] == pytest.approx(
        [0.05, 0.05 - 0.0499 / 3, 0.05 - 0.0998 / 3]
        + [
            0.0001,
            0.0001 + 0.0499 / 3,
            0.0001 + 0.0998 / 3,
            0.05,
            0.05 - 0.0499 / 3,
            0.05 - 0.0998 / 3,
        ]
    )


@pytest.mark.parametrize("optimizer", OPTIMIZERS.entries)
@pytest.mark.parametrize("forgets", [True, False])
def test_an_optimizer_that_forgets_is_as_new(train_settings, optimizer, forgets):
    """Its next steps are those of a new one; without forgetting, momenta go on."""
    schedule = {"name": "onecycle", "cycle_momentum": optimizer != "adadelta"}
    settings = train_settings(optimizer=optimizer, epochs=4, schedule=schedule, lr=0.01)
    inputs = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))

    def network() -> torch.nn.Module:
        torch.manual_seed(0)
        return torch.nn.Sequential(*(torch.nn.Linear(3, 3) for _ in range(3)))

    def run(net, optimizer, schedule, steps: int) -> list:
        for _ in range(steps):
            optimizer.zero_grad()
            net(inputs).square().sum().backward()
            optimizer.step()
            schedule.after_step()
            schedule.after_epoch(1.0)
        return [p.detach().clone() for p in net.parameters()]

    net = network()
    own = build_optimizer(net, settings)
    schedule = Restarts(own, settings, 1, parts=2, clears_state=forgets)
    run(net, own, schedule, 2)
    net.load_state_dict(network().state_dict())
    found = run(net, own, schedule, 1)
    net = network()
    new = build_optimizer(net, settings)
    expected = run(net, new, Restarts(new, settings, 1, parts=2, clears_state=True), 1)
    same = all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert same == forgets


# When members end.


def test_snapshots_are_the_weights_at_the_ends_of_cycles(ensemble, followed):
    seen, training = followed(ensemble("snapshot", "cnn_a"))
    last = [epoch[-1] for epoch in seen]
    assert [weights(member) for member in training.network.members] == [last[2], last[4], last[6]]
    assert len(set(last)) == 7


def test_a_snapshot_goes_on_with_what_was_learned(
    ensemble, model_settings, followed, toy_images, meta, watcher
):
    """Its first cycle is a usual training of that length, which the second goes on from."""
    seen, _ = followed(ensemble("snapshot", schedule="cosine"))
    usual = Training(
        build_method(model_settings(schedule="cosine", epochs=2, threads=1), meta),
        toy_images(40),
        None,
        seed=0,
    )
    usual.network.load_state_dict(
        Training(build_method(ensemble("snapshot"), meta), toy_images(40), None, seed=0)
        .network.members[-1]
        .state_dict()
    )
    usual.order = Training(
        build_method(ensemble("snapshot"), meta), toy_images(40), None, seed=0
    ).order
    usual.run(watcher)
    assert weights(usual.network) == seen[2][-1]


def test_lows_of_the_walk_are_the_members(model_settings, followed):
    method = {"name": "fast_geometric", "members": 3, "cycle": 4}
    seen, training = followed(model_settings(method=method, epochs=12))
    last = [epoch[-1] for epoch in seen]
    assert [weights(member) for member in training.network.members] == [last[4], last[8], last[12]]


def test_boosted_members_end_in_turn_and_begin_with_weights_of_their_own(ensemble, followed):
    seen, training = followed(ensemble("gradient_boosting"))
    last = [epoch[-1] for epoch in seen]
    assert [weights(member) for member in training.network.members] == [last[2], last[4], last[6]]
    drawn = seen[0]
    assert seen[1][:2] == seen[2][:2] == drawn[:2]
    # after two epochs the first member is finished, and what was drawn for it begins
    assert seen[3][0] == last[2] and seen[3][1] == drawn[1]
    assert len({*last, *drawn}) == 7 + 2


def test_judged_on_the_way_are_the_members_so_far(ensemble, toy_images, meta, watcher):
    """One member more in every cycle; the scores are those of their mean probabilities."""
    training = Training(
        build_method(ensemble("snapshot", lr=0.01), meta), toy_images(40), toy_images(30, 1), seed=0
    )
    validate, judged = training.method.validate, []

    def note(network, images):
        members = [*network.members[: network.finished], network.members[-1]]
        logits = [torch.from_numpy(Classifier(m, meta).logits(images)) for m in members]
        p = torch.stack(logits).softmax(2).mean(0)[range(30), images.labels]
        judged.append((len(members), -p.log().mean().item()))
        return validate(network, images)

    training.method.validate = note
    training.run(watcher)
    assert [number for number, _ in judged] == [1, 1, 2, 2, 3, 3]
    losses = [row.validation_loss for row in training.curve]
    assert losses == pytest.approx([loss for _, loss in judged], rel=1e-5)
