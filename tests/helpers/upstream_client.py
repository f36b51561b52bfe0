"""The calls of CARLA's Cosmos client with a plain Gradio client, as a script: `upstream_client.py URL REQUEST_JSON`.

Each file that the request names is uploaded, the paths of the answers take their places, and `/generate_video` gets the
whole as one text. Prints what came as JSON: endpoints, the version of the Gradio client, what was said while it
waited, and the video or the error, read as that client reads them.
"""

from __future__ import annotations

import json
import sys
import time
from importlib.metadata import version

VIDEOS = ("edge", "depth", "seg", "vis")


def main(url: str, request: dict) -> dict:
    from gradio_client import Client, handle_file

    client = Client(url, verbose=False)
    said: list[str] = []

    def call(argument, name: str):
        job = client.submit(argument, api_name=name)
        while not job.done():
            said.extend(unit.desc for unit in job.status().progress_data or [] if unit.desc)
            time.sleep(0.1)
        return job.result(timeout=120)

    def upload(path: str) -> str:
        answer = call(handle_file(path), "/upload_file")
        answer = json.loads(answer) if isinstance(answer, str) else answer
        return (answer[0] if isinstance(answer, list) else answer)["path"]

    endpoints = sorted(client.view_api(print_info=False, return_format="dict")["named_endpoints"])
    if request.get("input_video_path"):
        request["input_video_path"] = upload(request["input_video_path"])
    for name in VIDEOS:
        if request.get(name, {}).get("input_control"):
            request[name]["input_control"] = upload(request[name]["input_control"])
    found = {"client": version("gradio_client"), "endpoints": endpoints, "request": request}
    try:
        found |= {"video": video_of(call(json.dumps(request), "/generate_video"))}
    except Exception as error:
        found |= {"error": f"{type(error).__name__}: {error}"}
    return found | {"said": sorted(set(said))}


def video_of(result) -> str:
    """A video among what came, or RuntimeError with all of it."""
    for item in result if isinstance(result, (list, tuple)) else [result]:
        if isinstance(item, dict) and item.get("video"):
            return item["video"]
        if isinstance(item, str) and item.endswith(".mp4"):
            return item
    raise RuntimeError(f"Unexpected generate result format: {result}")


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], json.loads(sys.argv[2]))))
