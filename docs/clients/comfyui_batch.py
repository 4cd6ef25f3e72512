"""Send image files or films through a running ComfyUI, and fetch the results under their names.

python comfyui_batch.py photos/ -o restored/ --workflow restore_photo_api.json

The workflow is in ComfyUI's API format ("Export (API)"), with one node that loads the input (Load
Image, Load Video) and one that saves the result. Needs aiohttp, which every ComfyUI has.
"""

import argparse
import asyncio
import json
import sys
import uuid
from pathlib import Path

import aiohttp

LOADERS = {"LoadImage": "image", "LoadVideo": "file"}
SUFFIXES = ".jpg .jpeg .png .webp .bmp .tif .tiff .mp4 .mov .mkv .webm"
FOLDER = "comfyui_batch"  # in ComfyUI's input and output folders


class RefusedError(Exception):
    """ComfyUI cannot run the workflow on this file; trying again would not help."""


async def upload(session, path):
    """Upload a file; return the name that a loading node takes."""
    form = aiohttp.FormData()
    form.add_field("image", path.read_bytes(), filename=f"{uuid.uuid4().hex}{path.suffix}")
    form.add_field("subfolder", FOLDER)
    async with session.post("/upload/image", data=form) as answer:
        answer.raise_for_status()
        stored = await answer.json()
    return f"{stored['subfolder']}/{stored['name']}"


def fill_in(workflow, name, prefix):
    """Return the workflow with the name of the input and the prefix of the result."""
    prompt = json.loads(json.dumps(workflow))
    loaders = [node for node in prompt.values() if node["class_type"] in LOADERS]
    savers = [node for node in prompt.values() if "filename_prefix" in node["inputs"]]
    if len(loaders) != 1 or len(savers) != 1:
        raise SystemExit(f"The workflow has {len(loaders)} loading and {len(savers)} saving nodes.")
    loaders[0]["inputs"][LOADERS[loaders[0]["class_type"]]] = name
    savers[0]["inputs"]["filename_prefix"] = f"{FOLDER}/{prefix}"
    return prompt


async def queue(session, prompt, client):
    """Queue a prompt; return its id."""
    async with session.post("/prompt", json={"prompt": prompt, "client_id": client}) as answer:
        if answer.status == 400:
            raise RefusedError(json.dumps(await answer.json()))
        answer.raise_for_status()
        return (await answer.json())["prompt_id"]


async def follow(socket, prompt_id, label):
    """Show the progress of a prompt until it ends."""
    async for message in socket:
        if message.type is not aiohttp.WSMsgType.TEXT:
            continue  # a preview
        event = json.loads(message.data)
        data = event.get("data") or {}
        if data.get("prompt_id") != prompt_id:
            continue
        if event["type"] == "progress":
            print(f"\r{label}: {data['value']} of {data['max']} ", end="", file=sys.stderr)
        elif event["type"] == "execution_error":
            raise RefusedError(f"{data['node_type']}: {data['exception_message'].strip()}")
        elif event["type"] == "execution_success":
            return
    raise aiohttp.ClientConnectionError("ComfyUI closed the connection")


async def fetch(session, prompt_id, source, target):
    """Fetch the results of a prompt; each is written whole or not at all."""
    async with session.get(f"/history/{prompt_id}") as answer:
        outputs = (await answer.json())[prompt_id]["outputs"]
    files = [
        file
        for output in outputs.values()
        for group in output.values()
        for file in group
        if isinstance(file, dict) and file.get("type") == "output"
    ]
    if not files:
        raise RefusedError("the workflow saved nothing")
    for number, file in enumerate(files):
        ending = f"-{number}" if number else ""
        path = target.with_name(f"{target.name}{ending}{Path(file['filename']).suffix}")
        scratch = path.with_name(f".{path.name}.part")
        names = {key: file[key] for key in ("filename", "subfolder", "type")}
        async with session.get("/view", params=names) as answer:
            answer.raise_for_status()
            with scratch.open("wb") as part:
                async for block in answer.content.iter_chunked(1 << 20):
                    part.write(block)
        scratch.replace(path)
        print(f"\r{source} -> {path}")


async def restore(session, workflow, source, target):
    """Send one file through the workflow."""
    client = uuid.uuid4().hex
    async with session.ws_connect("/ws", params={"clientId": client}, max_msg_size=0) as socket:
        prompt = fill_in(workflow, await upload(session, source), uuid.uuid4().hex)
        prompt_id = await queue(session, prompt, client)
        await follow(socket, prompt_id, source.name)
        await fetch(session, prompt_id, source, target)


async def main(args):
    """Send all files; return whether some failed."""
    workflow = json.loads(Path(args.workflow).read_text(encoding="utf-8"))
    files = [args.input] if args.input.is_file() else sorted(args.input.rglob("*"))
    files = [path for path in files if path.suffix.lower() in SUFFIXES.split() and path.is_file()]
    base, failed = args.input if args.input.is_dir() else args.input.parent, 0
    async with aiohttp.ClientSession(args.url, timeout=aiohttp.ClientTimeout(None)) as session:
        for source in files:
            target = args.output / source.relative_to(base)  # a.jpg becomes a.jpg.png
            target.parent.mkdir(parents=True, exist_ok=True)
            if any(path.name.startswith(f"{target.name}.") for path in target.parent.iterdir()):
                continue  # done by an earlier run
            for attempt in range(args.tries):
                try:
                    await restore(session, workflow, source, target)
                    break
                except RefusedError as error:
                    print(f"\r{source}: {error}", file=sys.stderr)
                    failed += 1
                    break
                except (aiohttp.ClientError, OSError) as error:
                    print(f"\r{source}: {error!r}, try {attempt + 1}", file=sys.stderr)
                    await asyncio.sleep(2**attempt)
            else:
                failed += 1
    return bool(failed)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("input", type=Path, help="a file or a folder")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the folder of results")
    parser.add_argument("--workflow", required=True, help="a workflow in ComfyUI's API format")
    parser.add_argument("--url", default="http://127.0.0.1:8188", help="where ComfyUI runs")
    parser.add_argument("--tries", type=int, default=3, help="tries while ComfyUI is out of reach")
    sys.exit(asyncio.run(main(parser.parse_args())))
