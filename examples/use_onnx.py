"""Segment one photograph with an exported network: Pillow, numpy and onnxruntime, nothing of this suite.

python use_onnx.py aulunet_v3-isic2018.onnx photo.jpg mask.png
"""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

network, photograph, output = sys.argv[1:]
session = onnxruntime.InferenceSession(network, providers=["CPUExecutionProvider"])
size = json.loads(session.get_modelmeta().custom_metadata_map["lesion_benchmarks"])[
    "size"
]  # side that it was trained at

picture = ImageOps.exif_transpose(Image.open(photograph)).convert("RGB")
small = picture.resize((size, size), Image.Resampling.BILINEAR)
batch = np.asarray(small).transpose(2, 0, 1)[None]  # (1, 3, S, S) uint8
(probabilities,) = session.run(["probabilities"], {"images": np.ascontiguousarray(batch)})

whole = Image.fromarray(probabilities[0, 0]).resize(picture.size, Image.Resampling.BILINEAR)
mask = np.asarray(whole) >= 0.5
Image.fromarray(mask).save(output)
print(f"{100 * mask.mean():.1f} % of {photograph} is lesion; {output} is its mask")
