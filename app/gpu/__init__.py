"""One GPU layer over two hosts: devices, recorded graphs, memory plans."""
