"""A folder in object storage that several machines read, and one at a time writes to.

    <address>/study.yaml ...               the files, under their own names
    <address>/.crushtest/index-<n>.json    which files there are: names, sha256, sizes. The newest counts
    <address>/.crushtest/new/<sha256>      new content of files, until it is under its own name
    <address>/.crushtest/lock.json         who is writing

What is new is uploaded beside the files first. Then one object, the next index, makes all of it the content of the
folder at once, and after that it is copied to where it belongs. So a kill at any moment leaves what one index says.
"""
