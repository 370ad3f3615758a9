"""Where data sets come from: sources, checksums, mirrors, corpora, users' own files."""
