"""Services: what scorers and engines share that ask another machine over HTTP, and folders in object storage."""
