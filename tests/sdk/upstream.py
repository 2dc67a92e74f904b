"""A provider that answers properly: whole and streamed chat, tool calls, structured outputs, embeddings, refusals by model name."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

REFUSALS = {"bad-request": 400, "busy": 429}
USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}


def example(schema):
    """Returns a value that meets a JSON schema of the simple kind that tests use."""
    if "$ref" in schema:
        raise ValueError("references are not followed")
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type", "string")
    if kind == "object":
        return {name: example(part) for name, part in schema.get("properties", {}).items()}
    return {"string": "CANARY_OK", "integer": 7, "number": 7.5, "boolean": True, "array": [], "null": None}[kind]


def message(request):
    """Returns the answer's message and its finish reason."""
    tools = [tool["function"] for tool in request.get("tools", [])]
    if tools:
        arguments = json.dumps(example(tools[0]["parameters"]))
        call = {"id": "call_1", "type": "function", "function": {"name": tools[0]["name"], "arguments": arguments}}
        return {"role": "assistant", "content": None, "tool_calls": [call]}, "tool_calls"
    wanted = request.get("response_format", {})
    if wanted.get("type") == "json_schema":
        return {"role": "assistant", "content": json.dumps(example(wanted["json_schema"]["schema"]))}, "stop"
    return {"role": "assistant", "content": "Hello from the provider."}, "stop"


def completion(request):
    answer, reason = message(request)
    choice = {"index": 0, "message": answer, "finish_reason": reason, "logprobs": None}
    return {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": request["model"], "choices": [choice], "usage": USAGE}


def chunks(request):
    answer, reason = message(request)
    base = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": request["model"]}
    deltas = [{"role": "assistant", "content": ""}]
    for position, call in enumerate(answer.get("tool_calls", [])):
        function = {"name": call["function"]["name"], "arguments": ""}
        deltas.append({"tool_calls": [{"index": position, "id": call["id"], "type": "function", "function": function}]})
        for character in call["function"]["arguments"]:
            deltas.append({"tool_calls": [{"index": position, "function": {"arguments": character}}]})
    deltas += [{"content": word} for word in (answer["content"] or "").split(" ") if word]
    for delta in deltas:
        yield {**base, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    yield {**base, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}
    if request.get("stream_options", {}).get("include_usage"):
        yield {**base, "choices": [], "usage": USAGE}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        status = REFUSALS.get(request["model"])
        if status:
            error = {"message": "the provider says no", "type": "some_error", "param": None, "code": None}
            self.answer(status, {"error": error})
        elif self.path.endswith("/embeddings"):
            data = [{"object": "embedding", "index": 0, "embedding": [0.25, -0.5, 1.0]}]
            self.answer(200, {"object": "list", "data": data, "model": request["model"], "usage": USAGE})
        elif request.get("stream"):
            self.stream(chunks(request))
        else:
            self.answer(200, completion(request))

    def answer(self, status, body):
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def stream(self, events):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        for event in events:
            self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
        self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True

    def log_message(self, *_):
        """Says nothing."""


def start():
    """Starts the provider on a free port and returns its base URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_address[1]}/v1"
