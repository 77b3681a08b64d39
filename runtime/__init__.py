"""The event loop: predict, detect, adapt, guard, publish. The only package that knows time, threads and metrics."""
