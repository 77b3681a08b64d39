import http.client
import json
import shutil
import socket
import subprocess
import threading
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from runtime import events
from runtime.status import Status
from runtime.web.server import PortBusy, WebServer
from streams.images import decode_image, encode_jpeg
from tests.fakes import (
    make_frame,
    make_governor_changed,
    make_prediction,
    make_recall,
    make_run_started,
    make_scores,
    make_shadow,
)

CHROMIUM = shutil.which("chromium")


def scrape(accept):
    return "text/plain; version=1.0.0", f"# asked for {accept}\n".encode()


@contextmanager
def serving(status, **options):
    server = WebServer(status, exposition=scrape, port=0, **options)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def get(server, path, *, method="GET", headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request(method, path, headers=headers or {})
        reply = connection.getresponse()
        return reply.status, dict(reply.getheaders()), reply.read()
    finally:
        connection.close()


def running_status(*, labelled=True):
    status = Status(scores=make_scores) if labelled else Status()
    status.observe(make_run_started())
    for index in range(30):
        frame = make_frame(index, labelled=labelled, domain="rain_25mm" if labelled else None)
        prediction = make_prediction(frame, version=index)
        status.observe(events.FrameCaptured(index, 100.0))
        status.observe(prediction)
        status.observe(make_shadow(prediction))
        status.observe(events.ShiftScore(index, index / 20, index > 20, 100.0))
    status.observe(events.ShiftEvent(21, "away", 1.05, "rain_25mm", 100.0))
    for frame_index, refusal in ((12, ""), (22, ""), (23, "non-finite weights")):
        status.observe(make_recall(frame_index, refusal=refusal))
    return status


def test_page_is_self_contained_and_locked_down():
    with serving(Status()) as server:
        status, headers, body = get(server, "/")
        assert status == 200
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        for path in ("/", "/page.js", "/page.css"):
            _, headers, body = get(server, path)
            text = body.decode().replace("http://www.w3.org/2000/svg", "")
            assert "http:" not in text and "https:" not in text and "//cdn" not in text
            assert headers["X-Content-Type-Options"] == "nosniff"


def test_probes_say_why():
    status = Status()
    with serving(status) as server:
        assert get(server, "/livez")[::2] == (200, b"ok\n")
        assert get(server, "/readyz")[::2] == (503, b"the run has not started\n")
        status.observe(make_run_started())
        assert get(server, "/readyz")[::2] == (503, b"no prediction yet\n")


def test_statusz_is_strict_json_with_everything_the_page_draws():
    with serving(running_status()) as server:
        code, headers, body = get(server, "/statusz")
        assert code == 200 and headers["Content-Type"].startswith("application/json")
        found = json.loads(body, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert found["frames"] == {"captured": 30, "predicted": 30, "in_flight": 0, "dropped": {}}
    assert found["run"]["size"] == "32x64"
    assert found["scores"]["recent_miou"] == 30.0
    assert [visit["miou_frozen"] for visit in found["scores"]["visits"]] == [50.5, 26.0]
    assert [entry["iou"] for entry in found["classes"]] == [80.0, 20.0, None]
    assert found["classes"][0]["color"] == "#804080"
    assert found["shift"]["recent"] == [{"frame": 21, "kind": "away", "score": 1.05, "true_domain": "rain_25mm"}]
    assert found["shift"]["recalls"] == 2
    assert found["shift"]["last_recall"] == {"frame": 22, "domain": 2, "distance": 0.25}
    assert found["series"]["frame"] == [4, 9, 14, 19, 24, 29]
    assert found["series"]["miou"] == [30.0] * 6
    assert found["moment"] == 29


def test_statusz_says_how_much_is_learnt_why_and_what_it_costs():
    status = running_status()
    with serving(status) as server:
        calm = json.loads(get(server, "/statusz?series=0")[2])["adaptation"]
        status.observe(make_governor_changed(3, reason="memory"))
        shed = json.loads(get(server, "/statusz?series=0")[2])["adaptation"]
    assert (calm["governor_level"], calm["governor"], calm["cost_share"]) == (0, None, 0.0)
    wanted = {"level": 3, "name": "depth", "reason": "memory", "detail": "because memory"}
    assert shed["governor"] == wanted | {"step_ms": 40.0, "cost_share": 0.25}


def test_statusz_without_labels_and_without_series():
    with serving(running_status(labelled=False)) as server:
        found = json.loads(get(server, "/statusz?series=0")[2])
    assert found["scores"] is None and found["domain"] is None
    assert found["source_agreement"] == 0.5
    assert "series" not in found


def test_pictures_are_of_the_moment_asked_for():
    status = running_status()
    with serving(status) as server:
        assert get(server, "/preview/frozen.jpg")[1]["Content-Type"] == "image/jpeg"
        moment = json.loads(get(server, "/statusz?series=0")[2])["moment"]
        before = get(server, f"/preview/image.jpg?frame={moment}")[2]
        for index in range(30, 34):
            status.observe(make_prediction(make_frame(index)))
        assert get(server, f"/preview/image.jpg?frame={moment}")[2] == before
        newest = get(server, "/preview/image.jpg")[2]
        assert newest != before
        for nonsense in ("nonsense", "%C2%B2", 5000 * "9"):  # Python makes no number of more than 4300 digits
            assert get(server, f"/preview/image.jpg?frame={nonsense}")[2] == newest
        assert get(server, "/preview/frozen.jpg")[0] == 404
        image_HWC = decode_image(before)
    original_HWC = make_frame(moment).image_HWC
    assert image_HWC.shape == original_HWC.shape
    assert abs(float(np.mean(image_HWC)) - float(np.mean(original_HWC))) < 3


def test_metrics_get_the_accept_header_and_unknown_paths_a_hint():
    with serving(Status()) as server:
        assert get(server, "/metrics", headers={"Accept": "text/x"})[2] == b"# asked for text/x\n"
        code, _, body = get(server, "/../../etc/passwd")
        assert code == 404 and b"/statusz" in body
        assert get(server, "/livez", method="HEAD")[2] == b""
        assert get(server, "/livez", method="POST")[0] == 501


def test_a_target_that_is_none_is_answered_and_is_no_fault():
    faults = []
    with (
        serving(Status(), on_fault=faults.append) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=10) as viewer,
    ):
        viewer.sendall(b"GET http://[ HTTP/1.0\r\n\r\n")
        reply = viewer.makefile("rb").read()
    assert reply.split()[1] == b"400" and reply.endswith(b"\nInvalid IPv6 URL\n") and faults == []


def test_names_that_are_not_ours_are_turned_away():
    with serving(Status()) as server:
        assert get(server, "/statusz", headers={"Host": "evil.example"})[0] == 421
        assert get(server, "/statusz", headers={"Host": f"localhost:{server.port}"})[0] == 200


def test_a_busy_port_is_one_line_with_the_remedy():
    with serving(Status()) as server, pytest.raises(PortBusy) as caught:
        WebServer(Status(), exposition=scrape, port=server.port)
    message = str(caught.value)
    assert message == f"--port {server.port}: is in use; expected a free port on 127.0.0.1, --port 0 picks a free one"


def test_stop_hangs_up_on_idle_viewers_and_leaves_no_thread():
    before = set(threading.enumerate())
    server = WebServer(Status(), exposition=scrape, port=0)
    server.start()
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as idle:
        get(server, "/livez")
        server.stop()
        assert idle.recv(1) == b""
    server.stop()
    assert set(threading.enumerate()) == before


def test_a_server_that_never_started_can_be_stopped():
    server = WebServer(Status(), exposition=scrape, port=0)
    port = server.port
    server.stop()
    WebServer(Status(), exposition=scrape, port=port).stop()


def test_a_failing_answer_is_reported_and_the_next_one_served():
    faults = []

    def broken(accept):
        raise RuntimeError(f"no metrics for {accept}")

    server = WebServer(Status(), exposition=broken, port=0, on_fault=faults.append)
    server.start()
    try:
        with pytest.raises(http.client.RemoteDisconnected):
            get(server, "/metrics", headers={"Accept": "text/x"})
        assert get(server, "/livez")[0] == 200
    finally:
        server.stop()
    assert faults == ["RuntimeError: no metrics for text/x"]


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine to open the page with")
def test_a_real_browser_shows_the_run(tmp_path: Path):
    with serving(running_status()) as server:
        command = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}"]
        options = ["--virtual-time-budget=3000", "--dump-dom", server.url]
        done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=60, check=True)
    page = done.stdout
    assert ">rain_25mm</p>" in page
    assert "frame 30 of 825" in page
    assert 'src="blob:' in page
    assert "adapted, served, frame 29" in page
    assert page.count('class="mark"') >= 2
    assert "-0.5</td>" in page


def test_one_thread_makes_all_pictures_and_ends_with_the_server(monkeypatch):
    painters = set()

    def noting(picture_HWC, *, quality):
        painters.add(threading.current_thread())
        return encode_jpeg(picture_HWC, quality=quality)

    monkeypatch.setattr("runtime.web.previews.encode_jpeg", noting)
    status = Status()
    with serving(status) as server:
        for index in range(4):
            status.observe(make_prediction(make_frame(index)))
            for kind in ("image", "adapted"):
                connection = http.client.HTTPConnection("127.0.0.1", server.port)
                connection.request("GET", f"/preview/{kind}.jpg")
                assert connection.getresponse().status == 200
                connection.close()
    assert len(painters) == 1
    assert not any(thread.is_alive() for thread in painters)
