"""Sends one request after another on one connection, each with a Host of its own.

requests.py ADDRESS HOST...
"""
import http.client, sys

address, *hosts = sys.argv[1:]
connection = http.client.HTTPConnection(address, timeout=30)
connection.connect()
socket = connection.sock
for host in hosts:
    connection.request("GET", "/", headers={"Host": host})
    print(host, connection.getresponse().read().decode().strip())
    assert connection.sock is socket, "the connection was not kept"
