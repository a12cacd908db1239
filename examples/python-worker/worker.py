"""A bulkhead worker in Python (3.9 or newer, nothing to install). It follows docs/protocol.md."""
import collections
import json
import re
import socket
import time
import traceback
import zlib

channel = socket.socket(fileno=3)
incoming = channel.makefile("rb")


def frames():
    """Yields the supervisor's frames. The loop ends when the pool is gone."""
    for line in incoming:
        frame = json.loads(line)
        for length, (_, path) in zip(frame.get("bytes", []), frame.get("binary", [])):
            place, *keys = frame, "task", *path
            for key in keys[:-1]:
                place = place[key]
            place[keys[-1]] = incoming.read(length)
        yield frame


def encode(frame, *chunks):
    """Encodes a frame: one line, and the raw bytes it announces."""
    if chunks:
        frame["bytes"] = [len(chunk) for chunk in chunks]
        frame["binary"] = [["Buffer", []]]
    # JSON has no NaN: fail the task instead of sending an unreadable line.
    return json.dumps(frame, allow_nan=False).encode() + b"\n" + b"".join(chunks)


def words(text):
    """Returns the number of words, and the three most frequent ones."""
    counts = collections.Counter(re.findall(r"\w+", text.lower()))
    return {"total": sum(counts.values()), "top": counts.most_common(3)}


def factors(number):
    """Returns the prime factors, smallest first."""
    found, divisor = [], 2
    while divisor * divisor <= number:
        while number % divisor == 0:
            found.append(divisor)
            number //= divisor
        divisor += 1
    return found + [number] if number > 1 else found


handlers = {"words": words, "factors": factors, "compress": zlib.compress}


def answer(frame):
    started = time.perf_counter_ns()
    reply = {"type": "result", "id": frame["id"]}
    try:
        value = handlers[frame["task"]["type"]](frame["task"]["data"])
        reply["elapsed"] = (time.perf_counter_ns() - started) // 1000
        # The bytes follow the line, in which null replaces them.
        return encode(reply | {"result": None}, value) if isinstance(value, bytes) else encode(reply | {"result": value})
    except Exception as error:
        wire = {"name": type(error).__name__, "message": str(error), "stack": traceback.format_exc()}
        return encode(reply | {"type": "error", "error": wire})


for frame in frames():
    if frame["type"] == "init":
        channel.sendall(encode({"type": "ready", "version": 1}))
    elif frame["type"] == "task":
        channel.sendall(answer(frame))
    elif frame["type"] == "stop":
        break
    # "abort" cancels a task. This worker reads it after the task has ended, so nothing is left to stop.
