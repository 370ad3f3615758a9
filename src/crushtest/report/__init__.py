"""The report: the page, tables, figures and a model card, made from a study folder alone."""

from crushtest.report.card import write_card
from crushtest.report.figures.figures import write_figures
from crushtest.report.page.html import write_report
from crushtest.report.summary import summary_lines
from crushtest.report.tables import write_tables

__all__ = ["summary_lines", "write_card", "write_figures", "write_report", "write_tables"]
