// An empty program: the time that `node` itself takes to start and to end.
