"""The report: tables, figures and the page, made from a study folder alone."""
