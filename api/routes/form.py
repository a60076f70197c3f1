"""GET /form: push by hand, for an officer with a browser. Pages are made here; no script runs in them.

One idea: the same doors inwards as for systems: the client's token (in a cookie that no script and no other site gets),
`uploads` for what waits, `landing` for what is confirmed. Invariant: every POST carries a token bound to its cookie, the
file goes to the sealed upload as it comes, and nothing is landed before the confirmation.
"""

from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, Form, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute
from jinja2 import Environment, FileSystemLoader
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect

from api import bodies, errors
from api.deps import ThisHouse
from api.routes import push as pushing
from api.routes import quality, reports
from api.routes.token import signed_in
from exchange import catalogue, clients
from exchange.callers import Caller, for_its_department
from exchange.delivery import new_request_id
from exchange.errors import AccessRefused, ExchangeError, NotAuthenticated, NotFound, ParcelRefused, WrongState
from exchange.house import House
from exchange.intake import byhand, pushes, uploads
from exchange.intake.uploads import Held
from exchange.seal import same
from quality import gate

DOOR = "form"
COOKIE = "exchange_form"
_LONGEST = 1024  # bytes of a field that is no file
_DECISIONS = {"accepted": "通过 accepted", "rejected": "退回 rejected", "held": "挂起待确认 held for confirmation"}
_SAFE = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_PAGES = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True)


class _Page(APIRoute):
    """A route whose refusals are pages too, and whose pages may do nothing but be read and sent back."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                _refuse_other_sites(request)
                response = await handler(request)
            except ExchangeError as error:
                await bodies.drain(request)
                status = (await errors.answer(request, error)).status_code  # it records, too
                response = await run_in_threadpool(_refused, request, error, status)
            for name, value in _SAFE.items():
                response.headers[name] = value
            return response

        return handle


router = APIRouter(tags=["网页推送 by hand"], route_class=_Page, include_in_schema=False)


async def _anybody(request: Request) -> Caller:
    token = request.cookies.get(COOKIE)
    if not token:
        raise NotAuthenticated("请先登录", "sign in first", reason="no-token")
    caller = await clients.acaller_of(request.app.state.house, token)
    request.state.caller = caller
    return caller


async def _signed_in(request: Request) -> Caller:
    return for_its_department(await _anybody(request))


Anybody = Annotated[Caller, Depends(_anybody)]
Officer = Annotated[Caller, Depends(_signed_in)]
Csrf = Annotated[str, Form()]


@router.get("/form")
async def start(request: Request, house: ThisHouse) -> Response:
    """Sign in, or choose a resource and a file."""
    if not request.cookies.get(COOKIE):
        return _page(request, "sign-in")
    if (await _anybody(request)).role == "quality":
        return RedirectResponse("/form/quality/page", 303)
    caller = await _signed_in(request)
    return await run_in_threadpool(_choose, request, house, caller)


@router.post("/form/sign-in")
def sign_in(
    request: Request,
    house: ThisHouse,
    client_id: Annotated[str, Form()] = "",
    client_secret: Annotated[str, Form()] = "",
) -> Response:
    """The client's id and secret for a cookie that lives as long as a token."""
    token = signed_in(house, client_id.strip(), client_secret, "form sign-in", new_request_id())
    answer = RedirectResponse("/form", 303)
    answer.set_cookie(
        COOKIE,
        token.access_token,
        max_age=token.expires_in,
        path="/form",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    return answer


@router.post("/form/sign-out")
def sign_out(request: Request, house: ThisHouse, csrf: Csrf = "") -> Response:
    """Forget the cookie."""
    _check(house, request, csrf)
    answer = RedirectResponse("/form", 303)
    answer.delete_cookie(COOKIE, path="/form", httponly=True, samesite="strict")
    return answer


@router.post("/form/uploads")
async def upload(request: Request, house: ThisHouse, caller: Officer) -> Response:
    """The file, streamed into a sealed upload; then its sums."""
    coming = _Coming(house, caller, request)
    try:
        async for piece in bodies.pieces(request):
            await run_in_threadpool(coming.feed, piece)
        upload_id = await bodies.in_turn(request, coming.done)
    except (ClientDisconnect, FormParserError):
        await run_in_threadpool(coming.forget)
        raise _no_file() from None
    except BaseException:
        await run_in_threadpool(coming.forget)
        raise
    finally:
        await run_in_threadpool(coming.let_go)
    return RedirectResponse(f"/form/uploads/{upload_id}", 303)


@router.get("/form/uploads/{upload_id}")
def confirmation(upload_id: str, request: Request, house: ThisHouse, caller: Officer) -> Response:
    """What was computed, for the officer to confirm."""
    upload = uploads.get(house, caller, upload_id)
    receipt = uploads.outcome(house, upload)
    if receipt is not None:
        return RedirectResponse(f"/form/pushes/{receipt.id}", 303)
    if upload.declaration is None:
        raise WrongState("这个文件没有传完，请重新上传", "this file did not come whole; upload it again")
    resource = catalogue.resource(house, upload.resource_id)
    return _page(request, "confirm", upload=upload, said=upload.declaration, resource=resource)


@router.post("/form/uploads/{upload_id}/confirm")
def confirm(upload_id: str, request: Request, house: ThisHouse, caller: Officer, csrf: Csrf = "") -> Response:
    """Land it."""
    _check(house, request, csrf)
    with uploads.held(house, caller, upload_id) as one:
        receipt = one.land(DOOR)
    return RedirectResponse(f"/form/pushes/{receipt.id}" if receipt else f"/form/uploads/{upload_id}", 303)


@router.post("/form/uploads/{upload_id}/cancel")
def cancel(upload_id: str, request: Request, house: ThisHouse, caller: Officer, csrf: Csrf = "") -> Response:
    """Forget it."""
    _check(house, request, csrf)
    with uploads.held(house, caller, upload_id) as one:
        one.remove()
    return RedirectResponse("/form", 303)


@router.get("/form/pushes/{push_id}")
def receipt(push_id: str, request: Request, house: ThisHouse, caller: Officer) -> Response:
    """The receipt, and the verdict when it is there."""
    found = pushes.get(house, push_id)
    if found.department != caller.department:
        raise AccessRefused(
            "回执只给推送它的部门", "a receipt is for the department that pushed", reason="other-department"
        )
    try:
        verdict = gate.verdict(house, push_id)
    except NotFound:
        verdict = None
    return _page(request, "receipt", receipt=found, verdict=verdict, waiting=verdict is None, decisions=_DECISIONS)


@router.get("/form/pushes/{push_id}/report")
def report(push_id: str, house: ThisHouse, caller: Officer) -> Response:
    """The quality report, by the cookie."""
    return reports.read_report(push_id, house, caller)


@router.get("/form/pushes/{push_id}/data-docs")
def data_docs(push_id: str, house: ThisHouse, caller: Officer) -> Response:
    """The page of Great Expectations' results, by the cookie."""
    return reports.read_data_docs(push_id, house, caller)


@router.get("/form/pushes/{push_id}/row-errors")
def row_errors(push_id: str, house: ThisHouse, caller: Officer) -> Response:
    """The row-error file, by the cookie; every fetch is recorded."""
    return pushing.read_row_errors(push_id, house, caller)


@router.get("/form/quality/page")
def quality_page(house: ThisHouse, caller: Anybody, question: quality.ThisQuestion) -> Response:
    """What the caller sees of many pushes, by the cookie."""
    return quality.read_page(house, caller, question)


@router.get("/form/quality/workbook")
def quality_workbook(house: ThisHouse, caller: Anybody, question: quality.ThisQuestion) -> Response:
    """The same as XLSX, by the cookie."""
    return quality.read_workbook(house, caller, question)


class _Coming:
    """A multipart body on its way: small fields first, then the file, which goes into an upload as it comes."""

    def __init__(self, house: House, caller: Caller, request: Request) -> None:
        self._house = house
        self._caller = caller
        self._request = request
        self._fields: dict[str, bytes] = {}
        self._header = (b"", b"")
        self._name: str | None = None
        self._filename = ""
        self._whole = False
        self._holding: AbstractContextManager[Held] | None = None
        self._upload: Held | None = None
        _, options = parse_options_header(request.headers.get("content-type"))
        boundary = options.get(b"boundary")
        if not boundary:
            raise _no_file()
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._part,
                "on_header_begin": self._header_begin,
                "on_header_field": lambda data, begin, end: self._heading(data[begin:end], b""),
                "on_header_value": lambda data, begin, end: self._heading(b"", data[begin:end]),
                "on_header_end": self._headed,
                "on_headers_finished": self._open,
                "on_part_data": self._data,
                "on_end": self._end,
            },
        )

    def feed(self, piece: bytes) -> None:
        """Take the next bytes of the body."""
        self._parser.write(piece)

    def done(self) -> str:
        """The body has ended: do the sums. The id of the upload that waits for its confirmation."""
        self._parser.finalize()
        if self._upload is None or not self._whole:
            raise _no_file()
        byhand.declare(self._house, self._caller, self._upload, self._filename, DOOR)
        return self._upload.upload.id

    def forget(self) -> None:
        """What came is good for nothing."""
        if self._upload is not None:
            self._upload.remove()

    def let_go(self) -> None:
        """Release the upload."""
        if self._holding is not None:
            self._holding.__exit__(None, None, None)

    def _end(self) -> None:
        self._whole = True

    def _part(self) -> None:
        self._name, self._header = None, (b"", b"")

    def _header_begin(self) -> None:
        self._header = (b"", b"")

    def _heading(self, field: bytes, value: bytes) -> None:
        self._header = (self._header[0] + field, self._header[1] + value)

    def _headed(self) -> None:
        field, value = self._header
        if field.lower() != b"content-disposition":
            return
        _, options = parse_options_header(value)
        self._name = options.get(b"name", b"").decode(errors="replace")
        if b"filename" in options and self._name == "file":
            self._filename = options[b"filename"].decode(errors="replace")

    def _open(self) -> None:
        if self._name != "file":
            return
        if self._upload is not None or not self._filename:
            raise _no_file()
        _check(self._house, self._request, self._fields.get("csrf", b"").decode(errors="replace"))
        resource = self._fields.get("resource", b"").decode(errors="replace")
        about = bodies.length(self._request)
        begun = byhand.begin(self._house, self._caller, resource, self._filename, about=about, door=DOOR)
        self._holding = uploads.held(self._house, self._caller, begun.id)
        self._upload = self._holding.__enter__()

    def _data(self, data: bytes, begin: int, end: int) -> None:
        if self._name == "file" and self._upload is not None:
            self._upload.write(data[begin:end])
        elif self._name:
            known = self._fields.get(self._name, b"") + data[begin:end]
            if len(known) > _LONGEST or len(self._fields) > 8:
                raise _no_file()
            self._fields[self._name] = known


def _no_file() -> ParcelRefused:
    return ParcelRefused(
        "没有收到完整的文件，请选择文件后重新上传", "no whole file arrived; choose a file and upload it again"
    )


def _csrf(house: House, request: Request) -> str:
    """What a form of this cookie carries: nobody can make it who does not have the page."""
    return house.seal.keyed_hash("form", request.cookies.get(COOKIE, "").encode())


def _check(house: House, request: Request, given: str) -> None:
    if not same(given, _csrf(house, request)):
        raise AccessRefused("表单已过期，请返回重试", "this form has expired; go back and try again", reason="form-token")


def _refuse_other_sites(request: Request) -> None:
    """A browser says where a POST comes from; signing somebody in from elsewhere is refused by that."""
    origin = request.headers.get("origin")
    if request.method == "POST" and origin and urlsplit(origin).netloc != request.headers.get("host"):
        raise AccessRefused("请求来自其他网站", "the request comes from another site", reason="other-site")


def _choose(request: Request, house: House, caller: Caller) -> Response:
    own = [one for one in catalogue.current(house).resources if one.department == caller.department]
    recent = pushes.list_pushes(house, department=caller.department, limit=10)
    return _page(request, "choose", resources=own, pushes=recent, limit=int(house.settings.max_parcel))


def _refused(request: Request, error: ExchangeError, status: int) -> Response:
    if not isinstance(error, NotAuthenticated):
        return _page(request, "problem", status=status, problem=error)
    answer = _page(request, "sign-in", status=status, problem=error)
    answer.delete_cookie(COOKIE, path="/form", httponly=True, samesite="strict")
    return answer


def _page(request: Request, page: str, status: int = 200, **shown: object) -> Response:
    house: House = request.app.state.house
    caller: Caller | None = getattr(request.state, "caller", None)
    department = catalogue.department(house, caller.department).name if caller else None
    who = {"caller": caller, "department": department, "csrf": _csrf(house, request)}
    return HTMLResponse(_PAGES.get_template("form.html.jinja").render(page=page, **who, **shown), status)
