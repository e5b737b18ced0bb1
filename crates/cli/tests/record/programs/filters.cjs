// Required by a script that runs under a filter of system calls from here on.
'use strict'
const { readFileSync } = require('node:fs')

try {
  // It is no addon of Node's, and is loaded all the same.
  process.dlopen({ exports: {} }, process.env.FILTER)
} catch (error) {
  if (!/register/.test(error.message)) throw error
}
if (!/^Seccomp:\t2$/m.test(readFileSync('/proc/self/status', 'utf8'))) throw new Error('there is no filter')
