"""What OpenCTI's own splitter makes of a bundle: bundle on stdin, what it keeps and what it drops on stdout.

usage: split.py FOLDER, with pycti and datefinder in FOLDER. pycti itself imports its whole client, which wants packages
of other versions than ours; its splitter does not.
"""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path

folder = Path(sys.argv[1])
sys.path.insert(0, str(folder))
package = types.ModuleType("pycti")
package.__path__ = [str(folder / "pycti")]
sys.modules["pycti"] = package

from pycti.utils.opencti_stix2_splitter import OpenCTIStix2Splitter  # noqa: E402

_, dropped, bundles = OpenCTIStix2Splitter().split_bundle_with_expectations(json.load(sys.stdin), use_json=False)
kept = [value for bundle in bundles for value in bundle["objects"]]
json.dump({"kept": kept, "dropped": dropped}, sys.stdout)
