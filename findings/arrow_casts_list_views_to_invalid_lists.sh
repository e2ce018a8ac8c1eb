#!/usr/bin/env bash
# pyarrow 26.0.1: casting a list view to a list gives a list that is not valid, without an error.
#
# Seen 2026-11-30, pyarrow 26.0.1, Python 3.11.
#
# A list view keeps an offset and a size for each row; a list keeps one offset more than it has rows, since a row ends
# where the next begins. The cast writes as many offsets as there are rows. So the last row has no end: read, it came out
# empty, or worse, as whatever lies behind the buffer decides; `cast` says nothing, and only `validate()`, which nobody
# calls after a cast, tells. Casting a list to a large list, or through Python's lists, is sound. One would expect a
# valid array or an error, as from any other cast.
#
# Whatever reads columns of unknown type and casts them to one type (a table of labels, say) is to look for list views
# first. The script asks `validate()` and does not read the lists that do not pass.
#
# Seen: for 1, 3 and 40 rows, of list_view to list and of large_list_view to large_list, "Offsets buffer size (bytes): 12
# isn't large enough for length: 3 and offset: 0" and the like; list to large list and through Python: valid.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pyarrow==26.0.1
cat > "$folder/look.py" <<'PYTHON'
import pyarrow as pa

text = pa.string()
for count in (1, 3, 40):
    rows = [[f"label {number}", "another"] for number in range(count)]
    for kind, wanted in ((pa.list_view(text), pa.list_(text)), (pa.large_list_view(text), pa.large_list(text))):
        column = pa.array(rows, kind)
        column.validate(full=True)
        assert column.to_pylist() == rows
        try:
            column.cast(wanted).validate()
        except pa.ArrowInvalid as error:
            print(f"{count} rows, {kind} to {wanted}: {error}")
        else:
            raise AssertionError("the cast gives a valid list now")
        through_python = pa.array(column.to_pylist(), wanted)
        through_python.validate(full=True)
        assert through_python.to_pylist() == rows
    sound = pa.array(rows, pa.list_(text)).cast(pa.large_list(text))
    sound.validate(full=True)
    assert sound.to_pylist() == rows
print("list to large list, and through Python's lists: valid")
PYTHON
"$folder/venv/bin/python" "$folder/look.py"
