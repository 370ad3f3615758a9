"""Services: what scorers and engines share that ask another machine over HTTP."""
