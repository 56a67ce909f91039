"""What a dry run says of models that begin with an encoder."""

from types import SimpleNamespace

from thumbnets import paths
from thumbnets.artifacts import read_json, sha256
from thumbnets.recipes import plan
from thumbnets.store import Store


def test_a_model_is_known_once_its_encoder_is_trained(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plan, "training_key", lambda slot, seed: f"{slot}-{seed}")
    blocks = {"probe": SimpleNamespace(encoder="simclr"), "plain": SimpleNamespace(encoder=None)}
    slots = {"probe": "headline", "plain": "plain"}
    params = SimpleNamespace(encoders=["simclr"], settings=blocks, slots=slots)
    store, file = Store(tmp_path / "cache"), tmp_path / "file"

    def cached() -> list[bool | None]:
        return [plan._is_cached(params, name, 0, store) for name in ("simclr", "probe", "plain")]

    assert cached() == [False, None, False]
    file.write_bytes(b"encoder")
    store.put("encoders/simclr-0", {"weights": file})
    assert cached() == [True, False, False]
    assert read_json(paths.encoder_of("headline", 0)) == {"simclr": sha256(file)}
    assert read_json(paths.encoder_of("plain", 0)) == {}
    store.put("headline-0", {"weights": file})
    assert cached() == [True, True, False]
    for path in (store.cache / "files").rglob("*"):
        if path.is_file():
            path.unlink()
    assert cached() == [False, None, False]
