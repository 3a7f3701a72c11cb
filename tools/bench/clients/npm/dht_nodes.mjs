// DHT nodes of npm's bittorrent-dht, driven by JSON lines on standard input and answering on standard output.
//
// usage: node dht_nodes.mjs BOOTSTRAP ADDRESS...
//   in   {"id": 1, "op": "announce" | "lookup" | "put" | "get", "node": 0, ...}
//   out  {"event": "ready", "ports": [...]}   then   {"id": 1, ...} or {"id": 1, "error": "..."}
import crypto from 'node:crypto'
import readline from 'node:readline'
import { Client as DHT } from 'bittorrent-dht'

const [bootstrap, ...addresses] = process.argv.slice(2)

// What stands before the 32 raw bytes of an ed25519 key in DER (RFC 8410).
const PUBLIC_HEAD = Buffer.from('302a300506032b6570032100', 'hex')
const PRIVATE_HEAD = Buffer.from('302e020100300506032b657004220420', 'hex')

function verify (signature, message, raw) {
  const key = crypto.createPublicKey({ key: Buffer.concat([PUBLIC_HEAD, raw]), format: 'der', type: 'spki' })
  return crypto.verify(null, message, key, signature)
}

function signer (seed) {
  const key = crypto.createPrivateKey({ key: Buffer.concat([PRIVATE_HEAD, seed]), format: 'der', type: 'pkcs8' })
  return message => crypto.sign(null, message, key)
}

function publicKey (seed) {
  const key = crypto.createPrivateKey({ key: Buffer.concat([PRIVATE_HEAD, seed]), format: 'der', type: 'pkcs8' })
  return crypto.createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(PUBLIC_HEAD.length)
}

const say = value => process.stdout.write(JSON.stringify(value) + '\n')

const nodes = await Promise.all(addresses.map(address => new Promise((resolve, reject) => {
  const dht = new DHT({ bootstrap: [bootstrap], verify })
  dht.once('error', reject)
  dht.once('ready', () => resolve(dht))
  dht.listen(0, address)
})))
say({ event: 'ready', ports: nodes.map(dht => dht.address().port) })

const called = (action) => new Promise((resolve, reject) => {
  action((error, ...values) => error ? reject(error) : resolve(values))
})

const operations = {
  async announce (dht, { infohash, port }) {
    await called(done => dht.announce(infohash, port, done))
    return {}
  },
  async lookup (dht, { infohash }) {
    const peers = []
    const found = (peer, hash) => {
      if (hash.toString('hex') === infohash) peers.push(`${peer.host}:${peer.port}`)
    }
    dht.on('peer', found)
    await called(done => dht.lookup(infohash, done))
    dht.off('peer', found)
    return { peers: [...new Set(peers)] }
  },
  async put (dht, { value, seed, salt, seq }) {
    const item = { v: Buffer.from(value) }
    if (seed) {
      const raw = Buffer.from(seed, 'hex')
      Object.assign(item, { k: publicKey(raw), seq, sign: signer(raw) })
      if (salt) item.salt = Buffer.from(salt)
    }
    const [key, count] = await called(done => dht.put(item, done))
    return { target: key.toString('hex'), count }
  },
  async get (dht, { target, salt }) {
    // Without `cache: false` a node that stores an old version asks nobody for a newer one.
    const options = { cache: false, ...(salt ? { salt: Buffer.from(salt) } : {}) }
    const [item] = await called(done => dht.get(target, options, done))
    return item ? { value: item.v.toString(), seq: item.seq ?? null } : { value: null }
  }
}

for await (const line of readline.createInterface({ input: process.stdin })) {
  const { id, op, node, ...rest } = JSON.parse(line)
  operations[op](nodes[node], rest).then(
    result => say({ id, ...result }),
    error => say({ id, error: String(error.message || error) })
  )
}
// Standard input was closed: whoever started us has gone.
await Promise.all(nodes.map(dht => new Promise(resolve => dht.destroy(resolve))))
