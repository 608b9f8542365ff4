import http.client, sys, urllib.parse

url = urllib.parse.urlsplit(sys.argv[1])
connection = http.client.HTTPConnection(url.netloc, timeout=30)
connection.request("GET", url.path or "/")
response = connection.getresponse()
assert response.status == 200, response.status
sys.stdout.write(response.read().decode())
