"""The outcome of a check as JUnit XML."""

from collections.abc import Sequence
from xml.etree import ElementTree

from reports.check.item import Item, Status


def to_junit(items: Sequence[Item]) -> str:
    """A suite per kind of item, so that metrics and counts stand apart, and a test case per item.

    What is incomplete or not measured counts as skipped.
    """
    suites = ElementTree.Element("testsuites", _sums("benchmarks check", items))
    for kind in dict.fromkeys(item.kind for item in items):
        mine = [item for item in items if item.kind == kind]
        suite = ElementTree.SubElement(suites, "testsuite", _sums(kind, mine))
        for item in mine:
            _add_case(suite, item)
    ElementTree.indent(suites)
    return ElementTree.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def _sums(name: str, items: Sequence[Item]) -> dict[str, str]:
    """The attributes of a JUnit suite."""
    failed = sum(item.status is Status.FAILED for item in items)
    skipped = sum(item.status is Status.SKIPPED for item in items)
    return {"name": name, "tests": str(len(items)), "failures": str(failed), "skipped": str(skipped)}


def _add_case(suite: ElementTree.Element, item: Item) -> None:
    case = ElementTree.SubElement(suite, "testcase", classname=item.kind, name=item.name)
    if item.status is Status.FAILED:
        ElementTree.SubElement(case, "failure", message=item.message).text = str(item.path)
    elif item.status is Status.SKIPPED:
        ElementTree.SubElement(case, "skipped", message=item.message)
    else:
        ElementTree.SubElement(case, "system-out").text = f"{item.status}: {item.message}"
