"""A server that answers every chat request at once, as fast as the client reads: what a client
costs can be measured only if the server is cheaper. One process, epoll, answers made beforehand.

    python benchmarks/firehose.py --port 18080 [--tokens 256] [--events-per-write 16]

Knows nothing of a request but its path and where it ends. Ctrl-C ends it.
"""

import argparse
import select
import socket

HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
EVENT = (
    b'data: {"id":"chatcmpl-8f2d3c4b5a697887","object":"chat.completion.chunk","created":1700000000'
    b',"model":"mock-model","system_fingerprint":"fp_0123456789","choices":[{"index":0,"delta":'
    b'{"content":"%s"},"logprobs":null,"finish_reason":%s}]%s}\n\n'
)


def framed(event: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(event), event)


def writes(num_tokens: int, events_per_write: int) -> list[bytes]:
    """The answer, cut into what goes out with one send each."""
    events = [framed(EVENT % (b" word", b"null", b"")) for _ in range(num_tokens - 1)]
    events.append(framed(EVENT % (b" end", b'"length"', b"")))
    usage = b'{"prompt_tokens":16,"completion_tokens":%d,"total_tokens":%d}'
    usage %= (num_tokens, num_tokens + 16)
    events.append(framed(b'data: {"choices":[],"usage":%s}\n\n' % usage))
    events.append(framed(b"data: [DONE]\n\n") + b"0\r\n\r\n")
    groups = [
        b"".join(events[i : i + events_per_write]) for i in range(0, len(events), events_per_write)
    ]
    return [HEAD + groups[0], *groups[1:]]


class Client:
    """One connection: what it has asked so far, and which writes it is still to get."""

    def __init__(self, sock: socket.socket, answer: list[bytes]) -> None:
        self.sock, self.answer = sock, answer
        self.asked = b""
        self.left: list[bytes] = []

    def read(self) -> bool:
        """Take what came; False if the client has gone."""
        data = self.sock.recv(65_536)
        self.asked += data
        while (end := self.asked.find(b"\r\n\r\n")) >= 0:
            head = self.asked[:end].lower()
            size = 0
            if b"content-length:" in head:
                size = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
            if len(self.asked) < end + 4 + size:
                break
            self.asked = self.asked[end + 4 + size :]
            self.left.extend(self.reply(head.split(b" ", 2)))
        return bool(data)

    def reply(self, line: list[bytes]) -> list[bytes]:
        if line[1].endswith(b"/completions"):
            return self.answer
        if line[:2] == [b"get", b"/v1/models"]:
            return [whole(b"200 OK", b'{"object":"list","data":[]}')]
        if line[:2] == [b"get", b"/health"]:  # GuideLLM asks for it
            return [whole(b"200 OK", b"")]
        return [whole(b"404 Not Found", b'{"error":{"message":"not here"}}')]

    def write(self) -> bool:
        """One send; True while there is more."""
        if self.left:
            sent = self.sock.send(self.left[0])
            if sent == len(self.left[0]):
                self.left.pop(0)
            else:
                self.left[0] = self.left[0][sent:]
        return bool(self.left)


def whole(status: bytes, body: bytes) -> bytes:
    """A response with a length."""
    head = b"HTTP/1.1 %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return head % (status, len(body)) + body


def serve(port: int, answer: list[bytes]) -> None:
    listener = socket.create_server(("127.0.0.1", port), backlog=4096)
    listener.setblocking(False)
    poll = select.epoll()
    poll.register(listener.fileno(), select.EPOLLIN)
    clients: dict[int, Client] = {}
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    while True:
        for fd, event in poll.poll():
            if fd == listener.fileno():
                sock, _ = listener.accept()
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                clients[sock.fileno()] = Client(sock, answer)
                poll.register(sock.fileno(), select.EPOLLIN)
                continue
            client = clients[fd]
            try:
                is_here = client.read() if event & select.EPOLLIN else True
                more = is_here and client.write()
            except BlockingIOError:
                continue
            except OSError:
                is_here = more = False
            if is_here:
                poll.modify(fd, select.EPOLLIN | (select.EPOLLOUT if more else 0))
            else:
                poll.unregister(fd)
                clients.pop(fd).sock.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--events-per-write", type=int, default=16)
    given = parser.parse_args()
    try:
        serve(given.port, writes(given.tokens, given.events_per_write))
    except KeyboardInterrupt:
        return


if __name__ == "__main__":
    main()
