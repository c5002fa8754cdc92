"""The local server of the label page. It serves this machine only, and only with the one-time token in its address."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Awaitable, Callable
from importlib import resources
from typing import Any

import cv2
import simplejpeg
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from spot.annotation.label_session import LabelSession
from spot.data.images import read_bytes, read_frame
from spot.runtime.errors import SpotError

COOKIE = "spot_label"
HOST = "127.0.0.1"
_TYPES = {"label.js": "text/javascript", "label.css": "text/css"}
_IMAGES = {b"\xff\xd8": "image/jpeg", b"\x89P": "image/png"}
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
Endpoint = Callable[[Request], Awaitable[Response]]


def open_socket(port: int) -> socket.socket:
    """Take a port of the loopback address; 0 takes any free one. Raise SpotError if it is in use."""
    opened = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        opened.bind((HOST, port))
        opened.listen(64)
    except (OSError, OverflowError) as error:
        opened.close()
        reason = getattr(error, "strerror", None) or error
        raise SpotError(f"port={port}: {reason}; choose another port=, or port=0 for any free one") from None
    return opened


def build_app(
    session: LabelSession,
    token: str,
    next_command: str,
    finish: Callable[[], None],
    first: tuple[str, int] | None = None,
) -> Starlette:
    """Make the application.

    Args:
        session: the labels.
        token: the first visit with `?token=` it gets a cookie; later ones with the same token are refused.
        next_command: shown when all is labelled.
        finish: called when the user has finished.
        first: video and frame to begin with.
    """
    cookie = secrets.token_urlsafe(24)
    unused = {token}
    names = list(session.sizes)

    def protected(endpoint: Callable[[Request], Response | Awaitable[Response]]) -> Endpoint:
        async def checked(request: Request) -> Response:
            if not secrets.compare_digest(request.cookies.get(COOKIE, ""), cookie):
                return PlainTextResponse(
                    "Open the address that the command printed; start it again for a new one.", 403
                )
            try:
                response = endpoint(request)
                response = response if isinstance(response, Response) else await response
            except SpotError as error:
                response = JSONResponse({"error": str(error)}, 400)
            except (KeyError, TypeError, ValueError) as error:
                response = JSONResponse({"error": f"not a request of this page ({error})"}, 400)
            response.headers.update(_HEADERS)
            return response

        return checked

    async def page(request: Request) -> Response:
        given = request.query_params.get("token", "")
        if given in unused:
            unused.discard(given)
            response: Response = RedirectResponse("/", 303)
            response.set_cookie(COOKIE, cookie, httponly=True, samesite="lax")
            return response
        return await protected(lambda _: Response(_file("index.html"), media_type="text/html"))(request)

    def static(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in _TYPES:
            return PlainTextResponse("no such file", 404)
        return Response(_file(name), media_type=_TYPES[name], headers={"Cache-Control": "no-cache"})

    def project(request: Request) -> Response:
        start = None if first is None else {"video": first[0], "frame": first[1]}
        return JSONResponse({**session.project(), "next": next_command, "first": start})

    def image(request: Request) -> Response:
        video = session.videos[names[request.path_params["video"]]]
        path = video.frames.path(request.path_params["frame"])
        height = int(request.query_params.get("height", 0))
        data, kind = (_thumbnail(path, min(height, 400)), "image/jpeg") if height else _whole(path)
        return Response(data, media_type=kind, headers={"Cache-Control": "private, max-age=3600"})

    async def label(request: Request) -> Response:
        body: dict[str, Any] = await request.json()
        key = (str(body["video"]), int(body["target"]), int(body["frame"]))
        if request.method == "DELETE":
            session.remove(*key)
            return JSONResponse({"removed": True})
        return JSONResponse({"box": session.put(*key, body["box"])})

    def finished(request: Request) -> Response:
        finish()
        return JSONResponse({"next": next_command})

    routes = [
        Route("/", page),
        Route("/static/{name}", protected(static)),
        Route("/api/project", protected(project)),
        Route("/api/frame/{video:int}/{frame:int}", protected(image)),
        Route("/api/label", protected(label), methods=["PUT", "DELETE"]),
        Route("/api/finish", protected(finished), methods=["POST"]),
    ]
    hosts = Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])
    return Starlette(routes=routes, middleware=[hosts], exception_handlers={IndexError: _no_frame})


async def _no_frame(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": "no such frame"}, 404)


def _file(name: str) -> bytes:
    return resources.files("spot.annotation").joinpath("label_page", name).read_bytes()


def _whole(path: str) -> tuple[bytes, str]:
    """Return a frame as the browser can show it: JPEG and PNG as they are, others encoded anew without loss."""
    data = read_bytes(path)
    if kind := _IMAGES.get(data[:2]):
        return data, kind
    return cv2.imencode(".png", cv2.cvtColor(read_frame(path).pixels, cv2.COLOR_RGB2BGR))[1].tobytes(), "image/png"


def _thumbnail(path: str, height: int) -> bytes:
    frame = read_frame(path)
    scale = height / frame.height
    size = (max(1, round(frame.width * scale)), height)
    return simplejpeg.encode_jpeg(cv2.resize(frame.pixels, size, interpolation=cv2.INTER_AREA), quality=80)
