"""Print what AWS makes of a packaged template: ``.venv-aws/bin/python dev/sam_transform.py sam.json``.

CloudFormation runs SAM's transform on the template before it creates anything. This runs the same translator here, in
the environment of the local AWS, where it is installed.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path


def main() -> None:
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
    from samtranslator.translator.transform import transform  # type: ignore[import-not-found]

    document = json.loads(Path(sys.argv[1]).read_text())
    for resource in document["Resources"].values():  # archives are local paths until `aws cloudformation package`
        for name in ("CodeUri", "ContentUri"):
            if name in resource.get("Properties", {}):
                resource["Properties"][name] = "s3://bucket/key"

    class NoPolicies:
        def load(self) -> dict[str, str]:
            return {}

    json.dump(transform(document, {"Stage": "prod"}, NoPolicies()), sys.stdout)


if __name__ == "__main__":
    main()
