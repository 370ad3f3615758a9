"""What several tests share: tiny models, synthetic items and studies, and respondents whose results are known."""
