"""`doctor`: what the device is, and whether it computes every operation rightly."""

from __future__ import annotations

import argparse
import os
import platform
import signal
from dataclasses import asdict
from importlib.metadata import version

from app import __version__
from app.checks.selfcheck import CheckProgress, run_selfcheck
from app.cli.opening import open_device
from app.cli.output import Output
from app.errors import GpuError
from app.plan.device_report import check_summary, report_of
from app.plan.probe import collect_info
from app.train.control import RunControl


async def doctor(options: argparse.Namespace) -> None:
    """Describe and measure the device, check every operation, print the report.

    Raises:
        GpuError: an operation differs from its reference; everything was printed before.
    """
    output = Output(is_json=options.json)
    device = await open_device()
    output.progress(f"{device.info.name}: measuring")
    facts = await collect_info(device)
    control = RunControl()
    signal.signal(signal.SIGINT, lambda *_: control.stop())
    num_cases = 0

    def tell(progress: CheckProgress) -> None:
        nonlocal num_cases
        num_cases = progress.num_cases
        if progress.op:
            left = progress.seconds_left
            time_left = "" if left is None or left < 1 else f", about {left:.0f} s left"
            output.progress(
                f"{progress.num_done + 1} of {num_cases}: {progress.op}, {progress.case}{time_left}"
            )

    results = await run_selfcheck(device, tell, is_quick=options.quick, control=control)
    failed = [result for result in results if not result.ok]
    if options.json:
        output.result(facts, "")
        for result in results:
            output.result({"check": result.op, **asdict(result)}, "")
        output.result(
            {
                "done": True,
                "num_cases": num_cases,
                "num_checked": len(results),
                "num_failed": len(failed),
                "stopped": len(results) < num_cases,
                "seconds": sum(result.seconds for result in results),
            },
            "",
        )
    else:
        output.result({}, report_of(_about(), facts, results, num_cases))
    if failed:
        names = ", ".join(dict.fromkeys(result.op for result in failed))
        raise GpuError(
            f"{check_summary(results, num_cases)} Do not trust what this device computes with "
            f"{names}: update the graphics driver, and send the report if that does not help"
        )


def _about() -> list[tuple[str, str]]:
    return [
        ("LoRA Lab", __version__),
        ("Python", platform.python_version()),
        ("wgpu", version("wgpu")),
        ("system", f"{platform.system()} {platform.machine()}"),
        ("processors", str(os.cpu_count())),
    ]
