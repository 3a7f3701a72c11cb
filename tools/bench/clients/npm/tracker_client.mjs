// The client of npm's bittorrent-tracker: announces as one peer, scrapes, and says what it heard as JSON lines.
//
//   node tracker_client.mjs ANNOUNCE INFO_HASH PORT LEFT
//
// Events: `update` (complete, incomplete), `peer` (at), `scrape` (complete, incomplete). It stops, and ends, when
// stdin closes.

import Client from 'bittorrent-tracker'

const [announce, infoHash, port, left] = process.argv.slice(2)
const say = (event, fields = {}) => process.stdout.write(JSON.stringify({ event, ...fields }) + '\n')
const counts = ({ complete, incomplete }) => ({ complete, incomplete })

const client = new Client({
  infoHash,
  peerId: Buffer.from(`-XX0000-${port.padStart(12, '0')}`),
  announce: [announce],
  port: Number(port),
  getAnnounceOpts: () => ({ left: Number(left), uploaded: 0, downloaded: 0 })
})
client.on('error', (error) => say('error', { message: String(error) }))
client.on('warning', (warning) => say('warning', { message: String(warning) }))
client.on('peer', (at) => say('peer', { at }))
client.on('scrape', (found) => say('scrape', counts(found)))
client.once('update', (found) => {
  say('update', counts(found))
  client.scrape()
})
client.start()

process.stdin.resume()
process.stdin.on('end', () => {
  client.stop()
  client.destroy(() => process.exit(0))
})
