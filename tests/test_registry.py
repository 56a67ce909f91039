"""Registries: names and options come from the source text; only what is used is imported."""

import inspect
import re

import pytest
from pydantic import ValidationError

from thumbnets import registry
from thumbnets.registry import (
    AUGMENTATIONS,
    AVERAGES,
    INITIALISATIONS,
    MIXES,
    NETWORKS,
    OPTIMIZERS,
    SCHEDULES,
    MethodMetadata,
    NetworkMetadata,
    Registry,
    library_names,
    unknown,
)
from thumbnets.training.settings import TrainSettings

REGISTRIES = [NETWORKS, AUGMENTATIONS, MIXES, OPTIMIZERS, SCHEDULES, INITIALISATIONS, AVERAGES]
ENTRIES = [(r, name) for r in REGISTRIES for name in r.entries]

NETWORK = '''
from elsewhere import NETWORKS
raise RuntimeError("imported")

@NETWORKS.register(family="toy", parameters=1_000, source="a test")
def {name}(*, image_size: int, width: Count = 8, p: Probability = 0.5, kind: Literal["a"] = "a"):
    """A network."""

def helper(*, width: int): ...
'''


@pytest.fixture
def zoo(tmp_path, monkeypatch) -> Registry:
    """A registry over a folder with the network `one`, whose module can't be imported."""
    package = tmp_path / "package"
    (package / "zoo").mkdir(parents=True)
    monkeypatch.setattr(registry, "PACKAGE", package)
    (package / "zoo" / "one.py").write_text(NETWORK.format(name="one"))
    (package / "zoo" / "layers.py").write_text("def shared(): ...\n")
    return Registry("network", "zoo", given=("image_size",), metadata=NetworkMetadata)


def test_reads_entries_without_importing_them(zoo):
    entry = zoo["one"]
    assert list(zoo.entries) == ["one"]
    assert entry.module == "package.zoo.one"
    assert entry.metadata == NetworkMetadata(family="toy", parameters=1000, source="a test")
    assert entry.parameters["image_size"] == ("int", ...)
    assert entry.parameters["width"] == ("Count", 8)


def test_finding_entries_does_not_import_torch(python):
    code = "import sys; from thumbnets.registry import *; from thumbnets import registry as r\n"
    code += "[list(x.entries) for x in vars(r).values() if isinstance(x, r.Registry)]\n"
    code += "[r.NETWORKS.options(n) for n in r.NETWORKS.entries]\n"
    code += (
        "print(*({'torch', 'thumbnets.models.mlp4', 'thumbnets.data.augment'} & {*sys.modules}))"
    )
    assert python(code).strip() == ""


def test_loading_one_network_imports_no_other(python):
    code = "import sys; from thumbnets.registry import NETWORKS; NETWORKS.load('cnn_a')\n"
    code += "print('thumbnets.models.cnn_a' in sys.modules, 'thumbnets.models.mlp4' in sys.modules)"
    assert python(code).split() == ["True", "False"]


def test_two_entries_of_one_name_are_refused(zoo):
    (registry.PACKAGE / "zoo" / "two.py").write_text(NETWORK.format(name="one"))
    with pytest.raises(ValueError, match=r"Two networks are called 'one': .*zoo\.one.*zoo\.two"):
        _ = zoo.entries


@pytest.mark.parametrize(
    "wrong", ['familly="toy"', 'parameters="many"', "library=1"], ids=["misspelt", "text", "int"]
)
def test_metadata_that_the_registry_does_not_know_is_refused(zoo, wrong):
    text = f'@NETWORKS.register(source="a test", {wrong})\ndef two(): ...\n'
    (registry.PACKAGE / "zoo" / "two.py").write_text(text)
    with pytest.raises(ValueError, match=rf"two\.py, line 1: register\({wrong.split('=')[0]}="):
        _ = zoo.entries


def test_a_network_says_its_family_and_parameters(zoo):
    (registry.PACKAGE / "zoo" / "two.py").write_text(
        '@NETWORKS.register(source="a test")\ndef two(): ...\n'
    )
    with pytest.raises(
        ValueError, match=r"two\.py, line 1: register\(…\): .*family and parameters"
    ):
        _ = zoo.entries


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "{r}, parameters=1 + 1)\ndef two(): ...",
            r"line 1: parameters must be a literal.*got 1 \+ 1",
        ),
        (
            "{r}, parameters=1)\ndef two(*, p=f(2)): ...",
            "line 2: the default of p must be a literal",
        ),
    ],
)
def test_what_is_no_literal_is_one_clear_line(zoo, text, said):
    text = text.format(r='@NETWORKS.register(source="a test", family="toy"')
    (registry.PACKAGE / "zoo" / "two.py").write_text(text)
    with pytest.raises(ValueError, match=rf"two\.py, {said}"):
        _ = zoo.entries


@pytest.mark.parametrize(
    ("option", "given"),
    [
        ("width: Optional[int] = None", "has the type Optional[int], must have bool"),
        ("width=8", "has no type, must have bool"),
        ("width: torch.Tensor = 1", "has the type torch.Tensor"),
        ("width: 'Tensor' = 1", "has the type 'Tensor'"),
    ],
)
def test_an_option_of_unknown_type_is_one_clear_line(zoo, option, given):
    text = NETWORK.format(name="two").replace("width: Count = 8", option)
    (registry.PACKAGE / "zoo" / "two.py").write_text(text)
    with pytest.raises(ValueError, match=re.escape(f"zoo.two: option width of two {given}")):
        zoo.options("two")


@pytest.mark.parametrize("hint", ["'Count'", "options.Count", "'options.Count'"])
def test_types_may_be_quoted_or_qualified(zoo, hint):
    text = NETWORK.format(name="two").replace("width: Count = 8", f"width: {hint} = 8")
    (registry.PACKAGE / "zoo" / "two.py").write_text(text)
    assert zoo.options("two")().width == 8
    with pytest.raises(ValidationError):
        zoo.options("two")(width=0)


@pytest.mark.parametrize("hint", ['list["Foo"]', 'Annotated[float, Field(ge="x")]'])
def test_types_that_pydantic_refuses_are_one_clear_line(zoo, hint):
    text = NETWORK.format(name="two").replace("width: Count = 8", f"width: {hint} = 8")
    (registry.PACKAGE / "zoo" / "two.py").write_text(text)
    with pytest.raises(
        ValueError, match=r"^package\.zoo\.two: types of options of two: "
    ) as caught:
        zoo.options("two")
    assert "\n" not in str(caught.value)


def test_an_option_that_is_not_keyword_only_is_one_clear_line(zoo):
    text = NETWORK.format(name="two").replace("(*, image_size: int,", "(image_size: int,")
    (registry.PACKAGE / "zoo" / "two.py").write_text(text.replace("image_size: int,", "a=1,"))
    with pytest.raises(
        ValueError, match=r"two\.py, line 6: kind has a default, so it is an option"
    ):
        _ = zoo.entries


def test_register_of_others_and_hidden_files_are_passed_over(zoo):
    text = "@single.register\ndef two(a: int): ...\n\n@Base.register()\nclass three: ...\n"
    (registry.PACKAGE / "zoo" / "two.py").write_text(text)
    (registry.PACKAGE / "zoo" / ".#two.py").symlink_to("nowhere")
    assert list(zoo.entries) == ["one"]


def test_a_decorator_without_parentheses_is_one_clear_line(zoo):
    (registry.PACKAGE / "zoo" / "two.py").write_text("@NETWORKS.register\ndef two(): ...\n")
    with pytest.raises(ValueError, match=r"two\.py, line 1: write `\.register\(\)`, with paren"):
        _ = zoo.entries


def test_a_library_that_is_not_there_is_one_clear_line():
    with pytest.raises(ValueError, match="no_such_library is not installed"):
        library_names("no_such_library")


def test_a_class_without_a_constructor_has_no_options(zoo):
    text = NETWORK.format(name="two").partition("def two")[0] + "class two(Base): ...\n"
    (registry.PACKAGE / "zoo" / "two.py").write_text(text)
    assert zoo["two"].parameters == {} and not zoo.options("two").model_fields


@pytest.mark.parametrize("key", ['parts="membres"', 'walk=("members", "cycel")', 'examples=("x",)'])
def test_metadata_that_name_no_option_are_refused(zoo, key):
    methods = Registry("method", "zoo", metadata=MethodMetadata)
    text = f"@METHODS.register({key})\ndef two(*, members: int = 2, cycle: int = 3): ...\n"
    for file in (registry.PACKAGE / "zoo").iterdir():
        file.unlink()
    (registry.PACKAGE / "zoo" / "two.py").write_text(text)
    with pytest.raises(ValueError, match=r"two\.py, line 1: register.*Unknown option of two '"):
        _ = methods.entries


def test_a_file_that_does_not_parse_is_one_clear_line(zoo):
    (registry.PACKAGE / "zoo" / "two.py").write_text("def broken(:\n")
    with pytest.raises(ValueError, match="two.py"):
        _ = zoo.entries


def test_an_unknown_name_brings_the_nearest():
    with pytest.raises(ValueError, match=r"^Unknown network 'mlp5'\. Did you mean .*'mlp4'"):
        NETWORKS["mlp5"]
    with pytest.raises(ValueError, match="Unknown optimizer 'sdg'. Did you mean 'sgd'"):
        OPTIMIZERS.load("sdg")
    assert "mlp4" in NETWORKS and "mlp5" not in NETWORKS
    assert unknown("thing", "zzz", ["a", "b"]) == "Unknown thing 'zzz'. Known: a, b."
    assert unknown("thing", "MNIST", ["a", "mnist"]).startswith(
        "Unknown thing 'MNIST'. Did you mean 'mnist'?"
    )
    assert unknown("thing", "zzz", []) == "Unknown thing 'zzz'. There is none."


def test_of_many_names_some_are_listed():
    message = unknown("thing", "n39x", [f"n{number}" for number in range(40)])
    assert "Did you mean 'n39'" in message
    assert message.endswith(" n10, n11 and 28 more.")


def test_a_library_stands_for_all_its_networks():
    entry = NETWORKS["torchvision/resnet18"]
    assert (entry.name, entry.module) == ("torchvision/resnet18", "thumbnets.models.torchvision")
    assert "torchvision/resnet18" in NETWORKS and "torchvision/resnet19" not in NETWORKS
    assert "torchvision" not in NETWORKS and "torchvision" not in NETWORKS.entries
    assert not NETWORKS.options(entry.name).model_fields


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "torchvision/resnet19",
            "Unknown network of torchvision 'resnet19'. Did you mean 'resnet18'",
        ),
        ("torchvision/", "Unknown network of torchvision ''"),
        ("torchvision", "Unknown network of torchvision ''. Known: alexnet"),
        ("torchvison/resnet18", "Did you mean 'torchvision/NAME'"),
        ("timm/resnet18", "Unknown network 'timm/resnet18'"),
        ("cnn_a/b", "Unknown network 'cnn_a/b'. Did you mean"),
    ],
)
def test_an_unknown_network_of_a_library_brings_the_nearest(name, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        NETWORKS[name]


def test_names_of_a_library_are_its_own_and_read_without_importing_it(python):
    from torchvision import models

    assert library_names("torchvision") == models.list_models(models)
    code = "import sys; from thumbnets.registry import NETWORKS; NETWORKS['torchvision/vgg16']\n"
    assert python(code + "print({'torch', 'torchvision'} & {*sys.modules})").strip() == "set()"


def test_options_have_defaults_types_and_ranges(zoo):
    options = zoo.options("one")
    assert options().model_dump() == {"width": 8, "p": 0.5, "kind": "a"}
    assert options(width=3, p=0).model_dump() == {"width": 3, "p": 0.0, "kind": "a"}
    bad = [{"width": 0}, {"width": "3"}, {"width": 3.0}, {"width": True}, {"p": 1.0}, {"p": -0.1}]
    for given in [*bad, {"p": float("nan")}, {"kind": "b"}, {"depth": 1}, {"image_size": 28}]:
        with pytest.raises(ValidationError):
            options(**given)


@pytest.mark.parametrize("name", NETWORKS.entries)
def test_network_options_share_no_name_with_training_settings(name):
    reserved = {*TrainSettings.model_fields, "arch"}
    assert not reserved & set(NETWORKS.options(name).model_fields)


@pytest.mark.parametrize(("of", "name"), ENTRIES, ids=[f"{r.kind}-{n}" for r, n in ENTRIES])
def test_every_entry_loads_as_it_was_read(of, name):
    function = of.load(name)
    assert callable(function) and function.__name__ == name
    assert inspect.getdoc(function), f"{of.kind} {name} has no docstring"
    model = of.options(name)
    model.model_validate(model().model_dump())  # every option has a default, which is allowed
    assert set(of[name].parameters) <= {*of.given, *model.model_fields}


@pytest.mark.parametrize("name", NETWORKS.entries)
def test_every_network_states_its_metadata(name):
    metadata = NETWORKS[name].metadata
    assert metadata.parameters and metadata.family and metadata.source
    assert NETWORKS[name].module.startswith("thumbnets.models.")
