const response = await fetch(process.argv[1]);
if (response.status !== 200) throw new Error(`status ${response.status}`);
process.stdout.write(await response.text());
