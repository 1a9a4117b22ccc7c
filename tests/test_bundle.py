"""A bundle proves what it holds, or is refused with what is wrong."""

from pathlib import Path

import pytest
from tiny_bundle import make_tiny_bundle

import stream.bundle
from stream.bundle import MANIFEST, MODEL, Bundle, BundleError, load_bundle, put_in_place


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return make_tiny_bundle(tmp_path / "tiny")


def test_a_bundle_is_what_was_written(bundle: Bundle) -> None:
    assert load_bundle(bundle.folder) == bundle
    assert set(bundle.manifest.topics) == set(bundle.manifest.head("topics").labels)


def test_a_bundle_whose_model_was_changed_is_refused(bundle: Bundle) -> None:
    with bundle.model.open("ab") as model:
        model.write(b"x")
    with pytest.raises(BundleError, match=r"tampered with: model\.onnx does not match its checksum"):
        load_bundle(bundle.folder)


def test_a_bundle_without_its_model_is_refused(bundle: Bundle) -> None:
    bundle.model.unlink()
    with pytest.raises(BundleError, match=r"is incomplete: model\.onnx is missing"):
        load_bundle(bundle.folder)


def test_a_model_that_may_not_be_read_is_named(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(path: Path) -> str:
        # Modes do not stop an administrator, and tests may run as one.
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(stream.bundle, "file_digest", forbidden)
    with pytest.raises(BundleError, match=r"cannot read \S+ \(Permission denied\)"):
        load_bundle(bundle.folder)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "the file: Invalid JSON"),
        ('{"format": 1}', "name: Field required"),
    ],
)
def test_a_manifest_that_cannot_be_used_is_named(bundle: Bundle, content: str, said: str) -> None:
    (bundle.folder / MANIFEST).write_text(content, encoding="utf-8")
    with pytest.raises(BundleError) as error:
        load_bundle(bundle.folder)
    assert f"{bundle.folder / MANIFEST}: {said}" in str(error.value)


def test_a_bundle_of_another_format_is_to_be_exported_again(bundle: Bundle) -> None:
    manifest = (bundle.folder / MANIFEST).read_text(encoding="utf-8")
    (bundle.folder / MANIFEST).write_text(manifest.replace('"format": 1', '"format": 2'), encoding="utf-8")
    with pytest.raises(BundleError, match="has format 2, this version reads 1; export the checkpoint again"):
        load_bundle(bundle.folder)


def test_a_manifest_cannot_name_files_elsewhere(bundle: Bundle) -> None:
    manifest = (bundle.folder / MANIFEST).read_text(encoding="utf-8")
    changed = manifest.replace(f'"{MODEL}": ', f'"../{MODEL}": "{"0" * 64}", "{MODEL}": ')
    (bundle.folder / MANIFEST).write_text(changed, encoding="utf-8")
    with pytest.raises(BundleError, match=r"names a file outside the bundle: '\.\./model\.onnx'"):
        load_bundle(bundle.folder)


def test_a_folder_that_is_not_there_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"no bundle at .*nowhere: .*`downtick export`"):
        load_bundle(tmp_path / "nowhere")


def test_a_bundle_takes_the_place_of_a_bundle_or_of_nothing_and_never_of_another_folder(
    bundle: Bundle, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "labels.jsonl").write_text("a day of work", encoding="utf-8")
    with pytest.raises(BundleError, match="is no bundle"):
        put_in_place(bundle.folder, run)
    assert (run / "labels.jsonl").read_text(encoding="utf-8") == "a day of work"
    empty = tmp_path / "empty"
    empty.mkdir()
    placed = put_in_place(bundle.folder, empty)
    newer = make_tiny_bundle(tmp_path / "newer", maximum_tokens=32)
    assert put_in_place(newer.folder, empty).hash != placed.hash
    assert {path.name for path in tmp_path.iterdir()} == {"run", "empty"}


def test_a_folder_that_cannot_be_moved_is_named(bundle: Bundle, tmp_path: Path) -> None:
    newer = make_tiny_bundle(tmp_path / "newer", maximum_tokens=32)
    (bundle.folder / "inner").mkdir()
    with pytest.raises(BundleError, match=r"busy.*name another folder"):
        put_in_place(newer.folder, bundle.folder / "inner" / "..")
    assert load_bundle(bundle.folder).hash == bundle.hash


def test_where_a_bundle_cannot_be_put_in_place_the_old_one_is_there_again(
    bundle: Bundle, tmp_path: Path
) -> None:
    with pytest.raises(BundleError, match=r"at \S+tiny \(No such file or directory\); name another folder"):
        put_in_place(tmp_path / "nothing", bundle.folder)
    assert load_bundle(bundle.folder).hash == bundle.hash
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]
