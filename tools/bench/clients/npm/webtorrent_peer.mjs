// A webtorrent client in a process of its own: one torrent over TCP, JSON lines, ends when stdin closes.
//
//   node webtorrent_peer.mjs seed|leech TORRENT|MAGNET FOLDER [--dht HOST:PORT] [--peer HOST:PORT] [--tracker URL]
//
// Events: `listening` (port), `ready` (a seeder has checked), `metadata`, `complete`.
// The trackers of a torrent are asked unless it is to be found by --peer or --dht.

import { readFileSync } from 'node:fs'
import WebTorrent from 'webtorrent'

const [role, source, folder, ...rest] = process.argv.slice(2)
const option = (name) => rest.flatMap((word, at) => (word === `--${name}` ? [rest[at + 1]] : []))
const say = (event, fields = {}) => process.stdout.write(JSON.stringify({ event, ...fields }) + '\n')

const bootstrap = option('dht')
const client = new WebTorrent({
  dht: bootstrap.length ? { bootstrap, host: '127.0.0.1' } : false,
  tracker: !bootstrap.length && !option('peer').length,
  lsd: false,
  utp: false,
  natUpnp: false,
  natPmp: false
})
client.on('error', (error) => say('error', { message: String(error) }))
client.on('listening', () => say('listening', { port: client.torrentPort }))

const what = source.startsWith('magnet:') ? source : new Uint8Array(readFileSync(source))
const torrent = client.add(what, { path: folder, announce: option('tracker') })
torrent.on('metadata', () => say('metadata', { name: torrent.name }))
torrent.on('infoHash', () => option('peer').forEach((peer) => torrent.addPeer(peer)))
torrent.on('done', () => say(role === 'seed' ? 'ready' : 'complete'))
torrent.on('warning', (warning) => say('warning', { message: String(warning) }))

process.stdin.resume()
process.stdin.on('end', () => process.exit(0))
process.on('SIGTERM', () => process.exit(0))
