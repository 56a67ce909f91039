"""Settings: choices as they are written, their round trip through JSON, and one-line faults."""

import json

import pytest
from pydantic import ValidationError

from thumbnets.choices import check_options, explain
from thumbnets.registry import OPTIMIZERS
from thumbnets.training.settings import ModelSettings


def test_a_choice_is_a_name_or_a_name_with_options(train_settings):
    plain = train_settings(optimizer="sgd").optimizer
    full = train_settings(optimizer={"name": "sgd", "nesterov": False}).optimizer
    assert plain == full and plain.options == {"nesterov": False}
    augment = train_settings(augment=["flip", {"name": "shift", "pixels": 3}]).augment
    assert [(a.name, a.options) for a in augment] == [
        ("flip", {"p": 0.5}),
        ("shift", {"pixels": 3}),
    ]
    assert train_settings(mix=None).mix is None
    assert train_settings(mix="cutmix").mix.options == {"alpha": 1.0}
    erasing = train_settings(augment=[{"name": "erasing", "area": [0, 1]}]).augment[0].options
    assert erasing["area"] == (0.0, 1.0) and erasing["aspect"] == (0.3, 3.3)


def test_settings_come_back_from_json(model_settings):
    settings = model_settings(
        "cnn_c",
        {"dropout": 0.3},
        optimizer={"name": "adam", "beta2": 0.99},
        schedule={"name": "multi_step", "gamma": 0.2},
        average={"name": "ema", "decay": 0.9},
        lookahead={"steps": 3, "alpha": 0.8},
        clip=1.0,
        warmup=0.5,
        augment=["flip", {"name": "affine", "scale": [0.9, 1.1]}],
        mix={"name": "mixup", "alpha": 0.4},
        patches={"size": 7, "mode": "shared"},
        early_stopping={"patience": 3},
    )
    text = json.dumps(settings.model_dump(), sort_keys=True)
    back = ModelSettings.model_validate(json.loads(text))
    assert back == settings
    assert json.dumps(back.model_dump(), sort_keys=True) == text


def test_the_validating_fold(model_settings):
    fixed = model_settings()
    assert [fixed.validation_fold(seed, 3) for seed in range(5)] == [0] * 5
    rotating = fixed.model_copy(update={"rotate": True})
    assert [rotating.validation_fold(seed, 3) for seed in range(5)] == [0, 1, 2, 0, 1]


def test_settings_are_immutable_and_strict(train_settings):
    with pytest.raises(ValidationError, match="frozen"):
        train_settings().lr = 1.0
    for wrong in ({"epochs": "3"}, {"epochs": 2.0}, {"lr": "0.1"}, {"threads": True}):
        with pytest.raises(ValidationError):
            train_settings(**wrong)


def test_options_are_checked_and_filled_in():
    assert check_options(OPTIMIZERS, "adam", {}) == {"beta2": 0.999}
    with pytest.raises(ValueError, match=r"^optimizer 'adam': beta2 must be .* got -1$"):
        check_options(OPTIMIZERS, "adam", {"beta2": -1})
    with pytest.raises(ValueError, match="Unknown key 'lr'"):  # set by the settings, no option
        check_options(OPTIMIZERS, "adam", {"lr": 0.1})


def test_milestones_are_a_list_by_default_too(train_settings):
    given = train_settings(schedule={"name": "multi_step", "milestones": [3]}).schedule
    assert given.options["milestones"] == [3]
    assert train_settings(schedule="multi_step").schedule.options["milestones"] == [10, 15]


def test_what_has_no_momentum_takes_a_schedule_that_leaves_it_alone(train_settings):
    onecycle = {"name": "onecycle", "cycle_momentum": False}
    assert train_settings(optimizer="adadelta", schedule=onecycle).optimizer.name == "adadelta"
    with pytest.raises(ValidationError, match="adadelta has no momentum for onecycle to cycle"):
        train_settings(optimizer="adadelta", schedule="onecycle")


def test_a_warmup_as_long_as_the_run_is_allowed(train_settings):
    assert train_settings(epochs=2, warmup=2.0).warmup == 2.0
    with pytest.raises(ValidationError, match="warmup must be at most epochs, 2, got 2.1"):
        train_settings(epochs=2, warmup=2.1)


def test_faults_are_told_in_one_line(train_settings):
    with pytest.raises(ValidationError) as caught:
        train_settings(epochs=0, lr="x", epoch=3, patches={"size": 7})
    message = explain(caught.value, type(train_settings()))
    assert "\n" not in message
    for part in (
        "epochs must be at least 1, got 0",
        "lr must be a number, got 'x'",
        "Unknown key 'epoch'. Did you mean 'epochs'",
        "patches.mode is missing",
    ):
        assert part in message
