#!/usr/bin/env bash
# pillow 13.0.0 (2026-11): of two TIFFs that show the same picture with white as 0, the one of 16 bits opens as a negative.
#
# TIFF says with PhotometricInterpretation = 0 (WhiteIsZero) that 0 is white; scanners write it. Of 8 bits a sample
# Pillow turns the values round while it decodes, so that 0 comes out as 255, white. Of 16 bits it gives mode I;16 with
# the values as they lie in the file, and nothing says so: whoever scales I;16 to 8 bits has the picture's negative.
# Only the tag (`image.tag_v2[262]`) tells. tifffile, which wrote both, marks both in the same way.
#
# Seen: "8 bits, white is 0: the white corner opens as 255 of 255" and "16 bits, white is 0: the white corner opens as 0
# of 65535".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pillow==13.0.0 tifffile==2025.10.16 numpy==2.3.4
cat > "$folder/try.py" <<'PY'
import sys

import numpy as np
import tifffile
from PIL import Image

corners = {}
for bits, kind in ((8, np.uint8), (16, np.uint16)):
    most = 2**bits - 1
    picture = np.full((8, 8), most, kind)  # black
    picture[0, 0] = 0  # white
    tifffile.imwrite("picture.tif", picture, photometric="miniswhite")
    with Image.open("picture.tif") as image:
        assert image.tag_v2[262] == 0
        corners[bits] = int(np.asarray(image)[0, 0])
    print(f"{bits} bits, white is 0: the white corner opens as {corners[bits]} of {most}")
sys.exit(corners != {8: 255, 16: 0})
PY
cd "$folder" && "$folder/venv/bin/python" try.py
