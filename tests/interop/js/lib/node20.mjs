// js-libp2p 3 wants Node 22 for this one function; with it, Node 20 runs it too. Import this first.
Promise.withResolvers ??= function () {
  let resolve, reject
  const promise = new this((yes, no) => { resolve = yes; reject = no })
  return { promise, resolve, reject }
}
