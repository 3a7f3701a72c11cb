// In the place of webrtc-polyfill, whose compiled part is fetched from elsewhere: our peers use TCP.
export class RTCPeerConnection {}
export class RTCSessionDescription {}
export class RTCIceCandidate {}
export default { RTCPeerConnection, RTCSessionDescription, RTCIceCandidate }
