'use strict';
// Imports a package as it is installed here, whether it is a module or CommonJS.
module.exports = name => import(name);
