import handle from './handle.cjs';

export default handle;
